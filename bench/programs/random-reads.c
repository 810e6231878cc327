/* 4 KiB reads at random places of a disk, past the cache: random-reads DEVICE COUNT. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 4096 };

int main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[1], O_RDONLY | O_DIRECT) : -1;
    off_t blocks = fd < 0 ? 0 : lseek(fd, 0, SEEK_END) / BLOCK;
    void *buffer = aligned_alloc(BLOCK, BLOCK);
    uint64_t random = 1;

    if (blocks <= 0 || !buffer) {
        perror("random-reads");
        return 1;
    }
    for (long i = atol(argv[2]); i > 0; i--) {
        random = random * 6364136223846793005 + 1442695040888963407;
        if (pread(fd, buffer, BLOCK, (off_t)((random >> 16) % (uint64_t)blocks) * BLOCK) != BLOCK) {
            perror("random-reads");
            return 1;
        }
    }
    return 0;
}
