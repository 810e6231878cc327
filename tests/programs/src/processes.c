/* Processes: fork trees, pipes between them, vfork with exec of the program itself through
 * /proc/self/exe, wait in its forms, shared memory and futex-free synchronisation, file locks, and
 * what an exec keeps and drops. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int tree(int depth)
{
    int sum = 1;
    for (int i = 0; depth > 0 && i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(tree(depth - 1));
        }
        int status;
        waitpid(child, &status, 0);
        sum += WEXITSTATUS(status);
    }
    return sum;
}

static void ping_pong(void)
{
    int there[2], back[2];
    uint32_t value = 0;
    if (pipe(there) || pipe2(back, O_CLOEXEC)) {
        exit(EXIT_FAILURE);
    }
    pid_t child = fork();
    if (!child) {
        while (read(there[0], &value, sizeof(value)) == sizeof(value) && value < 1000) {
            value = value * 2 + 1;
            if (write(back[1], &value, sizeof(value)) != sizeof(value)) {
                break;
            }
        }
        _exit(0);
    }
    for (int i = 0; i < 11; i++) {
        if (write(there[1], &value, sizeof(value)) != sizeof(value) || value >= 1000 ||
            read(back[0], &value, sizeof(value)) != sizeof(value)) {
            break;
        }
    }
    waitpid(child, NULL, 0);
    printf("ping-pong ends with %u\n", value);
}

static void run_itself(int with_vfork)
{
    static char *const argv[] = {"itself", "child", "two words", "", NULL};
    static char *const envp[] = {"COLOUR=green", NULL};
    int status;
    fflush(stdout);
    pid_t child = with_vfork ? vfork() : fork();
    if (!child) {
        execve("/proc/self/exe", argv, envp);
        _exit(126);
    }
    waitpid(child, &status, 0);
    printf("itself %s exits with %d\n", with_vfork ? "by vfork" : "by fork", WEXITSTATUS(status));
}

static int be_child(int argc, char **argv)
{
    printf("child: %d arguments, last '%s', before '%s', COLOUR=%s HOME=%s, fd 9 %s\n", argc,
           argv[argc - 1], argv[argc - 2], getenv("COLOUR"), getenv("HOME") ? "set" : "unset",
           fcntl(9, F_GETFD) < 0 && errno == EBADF ? "closed" : "open");
    return 33;
}

static void share_memory(void)
{
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int private = 5;
    for (int i = 0; i < 4; i++) {
        if (!fork()) {
            private++;
            for (int j = 0; j < 10000; j++) {
                __atomic_fetch_add(shared, 1, __ATOMIC_SEQ_CST);
            }
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {
    }
    printf("shared %u private %d\n", *shared, private);
}

static void report(const char *what, long result)
{
    printf("%s: %ld %s\n", what, result, strerror(errno));
}

static void failing_calls(void)
{
    char *const argv[] = {"x", NULL};
    char *volatile nowhere = (char *)8;
    report("exec of nothing", execv("/nonexistent", argv));
    report("exec of a directory", execv("/tmp", argv));
    report("wait without children", wait(NULL));
    report("write from a bad address", write(1, nowhere, 10));
    report("open with a bad name", open(nowhere, O_RDONLY));
    report("mmap without length",
           (long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return be_child(argc, argv);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (dup2(1, 9) < 0 || fcntl(9, F_SETFD, FD_CLOEXEC)) {
        return EXIT_FAILURE;
    }
    printf("tree of %d\n", tree(4));
    ping_pong();
    run_itself(0);
    run_itself(1);
    share_memory();
    failing_calls();
    return EXIT_SUCCESS;
}
