/* System calls that do little: what the way into the kernel and back costs. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    uint64_t sum = 0;
    char room[64];
    for (int i = 0; i < size; i++) {
        struct timespec now;
        struct stat status;
        struct iovec parts[2] = {{room, 10}, {room + 20, 20}};
        sum += syscall(SYS_getppid) > 0;
        sum += (uint64_t)read(zero, room, sizeof(room));
        sum += (uint64_t)write(null, room, sizeof(room));
        sum += (uint64_t)writev(null, parts, 2);
        sum += lseek(zero, 0, SEEK_CUR) == 0;
        sum += fstat(null, &status) == 0 && S_ISCHR(status.st_mode);
        sum += clock_gettime(CLOCK_MONOTONIC, &now) == 0;
        sum += access("/nonexistent/file", R_OK) < 0;
    }
    return bench_result(sum);
}
