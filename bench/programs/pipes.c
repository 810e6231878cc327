/* A byte handed to and fro between two processes through pipes. */
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv), there[2], back[2];
    uint64_t sum = 0;
    uint8_t byte = 1;
    if (pipe(there) || pipe(back)) {
        perror("pipe");
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < size; i++) {
            if (read(there[0], &byte, 1) != 1) {
                _exit(1);
            }
            byte = (uint8_t)(byte * 5 + 1);
            if (write(back[1], &byte, 1) != 1) {
                _exit(1);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < size; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
            return 1;
        }
        sum = sum * 31 + byte;
    }
    waitpid(child, NULL, 0);
    return bench_result(sum);
}
