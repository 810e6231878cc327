/* System calls that pass structures, in the forms that the C library uses and, where the ABI has
 * them, in old ones: what comes back must be what the kernel gives programs of the ABI. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static void say(const char *name, long result)
{
    printf("%s: %ld%s%s\n", name, result, result < 0 ? " " : "", result < 0 ? strerror(errno) : "");
}

/* --- files --------------------------------------------------------------------------------------
 */

static void test_offsets(int fd)
{
    char text[16] = {0};
    struct iovec v[2] = {{"abc", 3}, {"defgh", 5}};
    long long far = 0x123456789ll;

    say("pwrite64 far", pwrite64(fd, "far", 3, far));
    say("pread64", pread64(fd, text, 3, far));
    printf("%s, end %lld\n", text, (long long)lseek64(fd, 0, SEEK_END));
    say("pwritev64", pwritev64(fd, v, 2, far + 8));
    v[0].iov_base = text;
    say("preadv64", preadv64(fd, v, 1, far + 8));
    printf("%s\n", text);
    say("ftruncate64", ftruncate64(fd, far + 1));
    struct stat64 status;
    fstat64(fd, &status);
    printf("size %lld\n", (long long)status.st_size);
    say("fallocate64", fallocate64(fd, 0, 4096, 8192));
    say("posix_fadvise64", posix_fadvise64(fd, 4096, 4096, POSIX_FADV_DONTNEED));
    say("sync_file_range", sync_file_range(fd, 4096, 4096, SYNC_FILE_RANGE_WRITE));
    say("readahead", readahead(fd, 4096, 4096));
    say("ftruncate64", ftruncate64(fd, 100));
    errno = 0;
    say("lseek", lseek(fd, 42, SEEK_SET));
    say("bad lseek", lseek(fd, -1, SEEK_SET));
}

static void test_locks(int fd)
{
    struct flock64 lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x100000001ll, .l_len = 10};

    say("F_SETLK64", fcntl(fd, F_SETLK64, &lock));
    fflush(stdout);
    if (fork() == 0) {
        struct flock64 other = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        fcntl(fd, F_GETLK64, &other);
        printf("locked: type %d start %lld len %lld parent %d\n", other.l_type,
               (long long)other.l_start, (long long)other.l_len, other.l_pid == getppid());
        struct flock narrow = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 7};
        say("F_SETLK", fcntl(fd, F_SETLK, &narrow));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void test_files(void)
{
    struct stat status;
    struct statfs fs;
    struct timeval times[2] = {{1000000000, 123456}, {1100000000, 654321}};
    struct utimbuf old = {1200000000, 1300000000};
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC | O_LARGEFILE, 0640);

    test_offsets(fd);
    test_locks(fd);
    say("utimes", utimes("file", times));
    stat("file", &status);
    printf("times %ld.%09ld %ld.%09ld mode %o links %d size %ld\n", (long)status.st_atim.tv_sec,
           status.st_atim.tv_nsec, (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
           status.st_mode, (int)status.st_nlink, (long)status.st_size);
    say("utime", utime("file", &old));
    lstat("file", &status);
    printf("times %ld %ld\n", (long)status.st_atime, (long)status.st_mtime);
    say("futimens", futimens(fd, (struct timespec[2]){{5, 6}, {0, UTIME_OMIT}}));
    fstat(fd, &status);
    printf("times %ld.%09ld %ld\n", (long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
           (long)status.st_mtime);
    say("statfs", statfs("/proc", &fs));
    printf("type %lx bsize %ld name %ld\n", (long)fs.f_type, (long)fs.f_bsize, (long)fs.f_namelen);
    off_t offset = 10;
    int out = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
    say("sendfile", sendfile(out, fd, &offset, 20));
    printf("offset %ld\n", (long)offset);
    loff_t from = 5;
    say("copy_file_range", copy_file_range(fd, &from, out, NULL, 6, 0));
    printf("offset %ld\n", (long)from);
    say("chown", chown("copy", -1, -1));
    say("symlink", symlink("target", "link"));
    char text[64] = {0};
    say("readlink", readlink("link", text, sizeof text));
    say("lchown", lchown("link", -1, -1));
    say("rename", rename("link", "other"));
    say("access", access("other", F_OK));
    say("unlink", unlink("other"));
    say("mkdir", mkdir("dir", 0700));
    say("mknod", mknod("dir/fifo", S_IFIFO | 0600, 0));
    close(out);
    close(fd);
}

static void test_directory(void)
{
    int count = 0, dots = 0, types = 0;
    long middle = 0;

    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "dir/entry%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    DIR *dir = opendir("dir");
    for (struct dirent *e; (e = readdir(dir));) {
        dots += e->d_name[0] == '.';
        types += e->d_type == DT_FIFO;
        if (++count == 100) {
            middle = telldir(dir);
        }
    }
    seekdir(dir, middle);
    for (int again = 0;; again++) {
        if (!readdir(dir)) {
            printf("entries %d dots %d fifos %d after seekdir %d\n", count, dots, types, again);
            break;
        }
    }
    closedir(dir);
#ifdef SYS_getdents
    char buffer[32768];
    int fd = open("dir", O_RDONLY | O_DIRECTORY), entries = 0;
    for (long size; (size = syscall(SYS_getdents, fd, buffer, sizeof buffer)) > 0;) {
        for (long at = 0; at < size; entries++) {
            at += *(unsigned short *)(buffer + at + 2 * sizeof(long));
        }
    }
    printf("getdents: %d\n", entries == count);
    close(fd);
#endif
}

/* --- sockets ------------------------------------------------------------------------------------
 */

static void test_messages(void)
{
    int pair[2], on = 1, passed = open("/dev/null", O_RDONLY);
    char text[32] = {0}, control[256];
    struct iovec v[3] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 3, .msg_control = control};

    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(pair[1], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    m.msg_controllen = CMSG_SPACE(2 * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), (int[2]){passed, passed}, 2 * sizeof(int));
    say("sendmsg", sendmsg(pair[0], &m, 0));
    m.msg_iov = &(struct iovec){text, sizeof text};
    m.msg_iovlen = 1;
    m.msg_controllen = sizeof control;
    say("recvmsg", recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC));
    printf("text %s flags %x\n", text, m.msg_flags & ~MSG_CMSG_CLOEXEC);
    for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        int fds[2];
        struct timeval stamp;
        printf("control: type %d length %d", c->cmsg_type, (int)(c->cmsg_len - CMSG_LEN(0)));
        if (c->cmsg_type == SCM_RIGHTS) {
            memcpy(fds, CMSG_DATA(c), sizeof fds);
            printf(" open %d", fcntl(fds[0], F_GETFD) == FD_CLOEXEC && fcntl(fds[1], F_GETFD) >= 0);
        } else if (c->cmsg_type == SCM_TIMESTAMP) {
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            printf(" recent %d", labs((long)(time(NULL) - stamp.tv_sec)) < 100);
        }
        puts("");
    }
    m = (struct msghdr){.msg_iov = v, .msg_iovlen = 3, .msg_control = control};
    m.msg_controllen = CMSG_SPACE(2 * sizeof(int));
    c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), (int[2]){passed, passed}, 2 * sizeof(int));
    sendmsg(pair[0], &m, 0);
    m.msg_iov = &(struct iovec){text, 5};
    m.msg_iovlen = 1;
    m.msg_controllen = 8;
    int before = dup(0);
    say("recvmsg short", recvmsg(pair[1], &m, 0));
    int after = dup(0);
    printf("flags %x controllen %d leaked %d\n", m.msg_flags, (int)m.msg_controllen,
           after - before - 1);
    struct mmsghdr several[3];
    for (int i = 0; i < 3; i++) {
        several[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &v[i], .msg_iovlen = 1}};
    }
    say("sendmmsg", sendmmsg(pair[0], several, 3, 0));
    char texts[3][8] = {{0}};
    for (int i = 0; i < 3; i++) {
        several[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
        v[i] = (struct iovec){texts[i], 8};
    }
    say("recvmmsg", recvmmsg(pair[1], several, 3, MSG_WAITFORONE, &(struct timespec){1, 0}));
    printf("%s%s%s lengths %u %u %u\n", texts[0], texts[1], texts[2], several[0].msg_len,
           several[1].msg_len, several[2].msg_len);
    struct timeval wait = {0, 50000}, got = {9, 9};
    socklen_t size = sizeof got;
    say("SO_RCVTIMEO", setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait));
    getsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &got, &size);
    printf("timeout %ld.%06ld size %d\n", (long)got.tv_sec, (long)got.tv_usec,
           (int)(size - sizeof got));
    say("recv", recv(pair[1], text, 5, 0));
}

static void test_internet(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, b;
    socklen_t size = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    struct ifreq request[8];
    struct ifconf list = {.ifc_len = sizeof request, .ifc_req = request};

    say("bind", bind(s, (struct sockaddr *)&a, sizeof a));
    say("getsockname", getsockname(s, (struct sockaddr *)&a, &size));
    say("listen", listen(s, 1));
    say("connect", connect(c, (struct sockaddr *)&a, sizeof a));
    size = sizeof b;
    int d = accept(s, (struct sockaddr *)&b, &size);
    printf("accepted from %s, size %d\n", inet_ntoa(b.sin_addr), (int)size);
    say("send", send(c, "hello", 5, 0));
    int waiting = 0;
    poll(&(struct pollfd){d, POLLIN, 0}, 1, 1000);
    say("FIONREAD", ioctl(d, FIONREAD, &waiting));
    printf("waiting %d\n", waiting);
    say("SIOCGIFCONF", ioctl(s, SIOCGIFCONF, &list));
    printf("whole entries %d\n", list.ifc_len % (int)sizeof(struct ifreq) == 0);
    memset(request, 0, sizeof request);
    strcpy(request[0].ifr_name, "lo");
    request[1].ifr_ifindex = 77;
    say("SIOCGIFINDEX", ioctl(s, SIOCGIFINDEX, request));
    printf("index %d, next %d\n", request[0].ifr_ifindex, request[1].ifr_ifindex);
    strcpy(request[0].ifr_name, "nosuch");
    say("SIOCGIFFLAGS", ioctl(s, SIOCGIFFLAGS, request));
}

/* --- waiting ------------------------------------------------------------------------------------
 */

static void test_waiting(void)
{
    int fds[2];
    fd_set set;
    struct timeval t = {0, 20000};
    struct timespec n = {0, 20000000};

    pipe(fds);
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    say("select", select(fds[0] + 1, &set, NULL, NULL, &t));
    printf("left %ld %ld set %d\n", (long)t.tv_sec, (long)t.tv_usec, FD_ISSET(fds[0], &set) != 0);
    write(fds[1], "x", 1);
    FD_SET(fds[0], &set);
    FD_SET(fds[1], &set);
    fd_set out = set;
    say("pselect", pselect(fds[1] + 1, &set, &out, NULL, &n, NULL));
    printf("read %d %d write %d %d\n", !!FD_ISSET(fds[0], &set), !!FD_ISSET(fds[1], &set),
           !!FD_ISSET(fds[0], &out), !!FD_ISSET(fds[1], &out));
    struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}};
    say("ppoll", ppoll(p, 2, &n, NULL));
    int e = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u64 = 0x1122334455667788}}, got[4] = {{0}};
    epoll_ctl(e, EPOLL_CTL_ADD, fds[0], &event);
    say("epoll_wait", epoll_wait(e, got, 4, 100));
    printf("events %x data %llx\n", got[0].events, (unsigned long long)got[0].data.u64);
    int f = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec new = {{0, 0}, {0, 5000000}}, old;
    timerfd_settime(f, 0, &new, NULL);
    unsigned long long ticks = 0;
    say("timerfd", read(f, &ticks, sizeof ticks));
    timerfd_gettime(f, &old);
    printf("ticks %llu left %ld %ld\n", ticks, (long)old.it_value.tv_sec, old.it_value.tv_nsec);
    say("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, 0, &n, NULL));
    struct timespec resolution;
    say("clock_getres", clock_getres(CLOCK_MONOTONIC, &resolution));
    printf("resolution %ld %ld\n", (long)resolution.tv_sec, resolution.tv_nsec);
}

static void test_timers(void)
{
    timer_t timer;
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 0x5566};
    struct itimerspec set = {{0, 0}, {0, 3000000}}, left;
    struct itimerval interval = {{0, 0}, {100, 5}}, before;
    sigset_t signals;
    siginfo_t info;

    sigemptyset(&signals);
    sigaddset(&signals, SIGRTMIN + 3);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    say("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    say("timer_settime", timer_settime(timer, 0, &set, NULL));
    printf("sigwaitinfo: %d", sigwaitinfo(&signals, &info) == SIGRTMIN + 3);
    printf(" code %d value %x\n", info.si_code, info.si_value.sival_int);
    say("timer_gettime", timer_gettime(timer, &left));
    printf("left %ld %ld\n", (long)left.it_value.tv_sec, left.it_value.tv_nsec);
    timer_delete(timer);
    say("sigqueue", sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void *)0x77}));
    printf("sigtimedwait: %d", sigtimedwait(&signals, &info, &(struct timespec){1, 0}));
    printf(" code %d value %p own %d\n", info.si_code, info.si_value.sival_ptr,
           info.si_pid == getpid());
    say("sigtimedwait", sigtimedwait(&signals, &info, &(struct timespec){0, 1000}));
    say("setitimer", setitimer(ITIMER_REAL, &interval, NULL));
    getitimer(ITIMER_REAL, &before);
    printf("left %d\n", before.it_value.tv_sec >= 99);
    printf("alarm: %d\n", alarm(0) >= 99);
}

/* --- processes ----------------------------------------------------------------------------------
 */

static void test_processes(void)
{
    struct rusage usage;
    siginfo_t info;
    int status;

    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        _exit(7);
    }
    say("waitid", waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    printf("code %d status %d child %d uid %d\n", info.si_code, info.si_status, info.si_pid == pid,
           info.si_uid == getuid());
    bool waited = wait4(pid, &status, 0, &usage) == pid;
    printf("wait4: %d status %x time %d\n", waited, status, usage.ru_utime.tv_sec < 10);
    struct rlimit limit;
    say("getrlimit", getrlimit(RLIMIT_CORE, &limit));
    printf("core %d\n", limit.rlim_cur == 0);
    getrlimit(RLIMIT_FSIZE, &limit);
    printf("file size %d\n", limit.rlim_cur == RLIM_INFINITY);
    limit.rlim_cur = 1 << 20;
    say("setrlimit", setrlimit(RLIMIT_FSIZE, &limit));
    getrlimit(RLIMIT_FSIZE, &limit);
    printf("file size %ld %d\n", (long)limit.rlim_cur, limit.rlim_max == RLIM_INFINITY);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    say("sched_getaffinity", sched_getaffinity(0, sizeof cpus, &cpus));
    printf("cpus %d\n", CPU_COUNT(&cpus) > 0);
    say("sched_rr_get_interval", sched_rr_get_interval(0, &(struct timespec){0, 0}));
    struct sysinfo system;
    say("sysinfo", sysinfo(&system));
    printf("memory %d unit %d\n", system.totalram > system.freeram, system.mem_unit != 0);
    struct timex clock = {.modes = 0};
    printf("adjtimex: %d tick %ld\n", adjtimex(&clock) >= 0, clock.tick);
    say("getpriority", getpriority(PRIO_PROCESS, 0));
    say("nice", nice(3));
    gid_t groups[64];
    printf("getgroups: %d\n", getgroups(64, groups) >= 0);
    uid_t real, effective, saved;
    say("getresuid", getresuid(&real, &effective, &saved));
    printf("ids %d\n", real == getuid() && effective == geteuid() && saved == real);
}

/* --- System V and POSIX IPC ---------------------------------------------------------------------
 */

static void test_ipc(void)
{
    struct {
        long type;
        char text[16];
    } message = {-1, ""};
    struct msqid_ds queue_status;
    struct shmid_ds memory_status;
    struct semid_ds semaphore_status;
    unsigned short values[2] = {3, 4};

    int queue = msgget(IPC_PRIVATE, 0600);
    message.type = 5;
    strcpy(message.text, "typed");
    say("msgsnd", msgsnd(queue, &message, 6, 0));
    say("msgctl", msgctl(queue, IPC_STAT, &queue_status));
    printf("messages %d bytes %d\n", (int)queue_status.msg_qnum, (int)queue_status.__msg_cbytes);
    memset(&message, 0, sizeof message);
    say("msgrcv", msgrcv(queue, &message, 16, 5, 0));
    printf("type %ld %s\n", message.type, message.text);
    say("msgctl", msgctl(queue, IPC_RMID, NULL));

    int memory = shmget(IPC_PRIVATE, 8192, 0600);
    char *at = shmat(memory, NULL, 0);
    printf("shmat: %d\n", at != (char *)-1);
    strcpy(at, "shared");
    say("shmctl", shmctl(memory, IPC_STAT, &memory_status));
    printf("size %d attached %d own %d\n", (int)memory_status.shm_segsz,
           (int)memory_status.shm_nattch, memory_status.shm_cpid == getpid());
    say("shmdt", shmdt(at));
    say("shmctl", shmctl(memory, IPC_RMID, NULL));

    int set = semget(IPC_PRIVATE, 2, 0600);
    say("semctl", semctl(set, 0, SETALL, values));
    say("semop", semop(set, &(struct sembuf){0, -2, 0}, 1));
    say("GETVAL", semctl(set, 0, GETVAL));
    say("semtimedop", semtimedop(set, &(struct sembuf){1, -9, 0}, 1, &(struct timespec){0, 1000}));
    say("IPC_STAT", semctl(set, 0, IPC_STAT, &semaphore_status));
    printf("semaphores %d\n", (int)semaphore_status.sem_nsems);
    say("semctl", semctl(set, 0, IPC_RMID));

    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 32};
    char text[32], name[32];
    unsigned priority = 0;
    snprintf(name, sizeof name, "/menura-%d", getpid());
    mqd_t mq = mq_open(name, O_CREAT | O_RDWR, 0600, &attributes);
    mq_unlink(name);
    say("mq_send", mq_send(mq, "posix", 6, 9));
    say("mq_getattr", mq_getattr(mq, &attributes));
    printf("messages %ld size %ld\n", attributes.mq_curmsgs, attributes.mq_msgsize);
    say("mq_receive", mq_receive(mq, text, 32, &priority));
    printf("%s priority %u\n", text, priority);
}

static void test_terminal(void)
{
    struct winsize size = {33, 44, 0, 0}, got = {0};
    struct termios t;
    int master, slave;

    say("openpty", openpty(&master, &slave, NULL, NULL, &size));
    ioctl(slave, TIOCGWINSZ, &got);
    tcgetattr(slave, &t);
    printf("window %d %d, echo %d, ISIG %d\n", got.ws_row, got.ws_col, !!(t.c_lflag & ECHO),
           !!(t.c_lflag & ISIG));
    cfmakeraw(&t);
    say("tcsetattr", tcsetattr(slave, TCSANOW, &t));
    tcgetattr(slave, &t);
    printf("echo %d\n", !!(t.c_lflag & ECHO));
}

static void test_memory(void)
{
    char *a = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(a, "kept");
    char *b = mremap(a, 3 * 4096, 300 * 4096, MREMAP_MAYMOVE);
    printf("mremap: %s\n", b == MAP_FAILED ? strerror(errno) : b);
    munmap(b, 300 * 4096);
    a = mmap((void *)0x30000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("fixed: %d\n", a == (void *)0x30000000);
    int fd = open("file", O_RDWR);
    ftruncate(fd, 16384);
    pwrite(fd, "page 2", 7, 8192);
    a = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 8192);
    printf("file: %s\n", a);
    void *start = sbrk(100000);
    printf("sbrk: %d\n", sbrk(0) == (char *)start + 100000);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_files();
    test_directory();
    test_messages();
    test_internet();
    test_waiting();
    test_timers();
    test_processes();
    test_ipc();
    test_terminal();
    test_memory();
    return 0;
}
