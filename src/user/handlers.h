/* Handlers that linux/syscalls.def names, as HANDLER(name) rows; included by syscall.h only. */

/* calls_file.c: the arguments are converted, file names the host's (openat2, fcntl, ioctl: raw) */
HANDLER(open_file);
HANDLER(close_file);
HANDLER(close_files);
HANDLER(duplicate_file);
HANDLER(read_link);
HANDLER(get_directory);
HANDLER(sys_openat2);
HANDLER(sys_fcntl);
HANDLER(sys_ioctl);

/* calls_memory.c */
HANDLER(sys_brk);
HANDLER(sys_mmap);
HANDLER(sys_munmap);
HANDLER(sys_mprotect);
HANDLER(sys_pkey_mprotect);
HANDLER(sys_mremap);
HANDLER(sys_madvise);
HANDLER(sys_shmat);
HANDLER(sys_shmdt);

/* calls_process.c */
HANDLER(sys_clone);
HANDLER(sys_clone3);
HANDLER(sys_execve);
HANDLER(sys_execveat);
HANDLER(sys_exit);
HANDLER(sys_exit_group);
HANDLER(sys_set_tid_address);
HANDLER(sys_set_robust_list);
HANDLER(sys_get_robust_list);
HANDLER(sys_personality);
HANDLER(sys_prctl);
HANDLER(sys_seccomp);
HANDLER(sys_ptrace);

/* calls_signal.c */
HANDLER(sys_rt_sigaction);
HANDLER(sys_rt_sigprocmask);
HANDLER(sys_rt_sigpending);
HANDLER(sys_rt_sigsuspend);
HANDLER(sys_rt_sigreturn);
HANDLER(sys_sigaltstack);
HANDLER(sys_restart_syscall);

/* calls_system.c */
HANDLER(sys_semctl);
HANDLER(read_clock);
HANDLER(read_time_of_day);
HANDLER(read_system_name);
