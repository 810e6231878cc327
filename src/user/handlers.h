/* Handlers that linux/syscalls.def names, as HANDLER(name) rows; included by syscall.h only. */

/* calls_file.c: the arguments are converted, file names the host's (but sys_: raw) */
HANDLER(open_file);
HANDLER(close_file);
HANDLER(close_files);
HANDLER(duplicate_file);
HANDLER(duplicate_onto);
HANDLER(read_link);
HANDLER(get_directory);
HANDLER(create_epoll);
HANDLER(seek_short);
HANDLER(read_directory);
HANDLER(read_directory64);
HANDLER(sys_openat2);
HANDLER(sys_fcntl);
HANDLER(sys_fcntl64);
HANDLER(sys__llseek);

/* ioctl.c */
HANDLER(sys_ioctl);

/* calls_wait.c */
HANDLER(poll_with_mask);
HANDLER(epoll_with_mask);
HANDLER(epoll_with_mask_and_time);
HANDLER(get_events_with_mask);
HANDLER(wait_for_sets);
HANDLER(wait_for_old_sets);
HANDLER(wait_from_memory);
HANDLER(wait_for_files);
HANDLER(wait_on_word);
HANDLER(wait_on_word64);

/* calls_socket.c */
HANDLER(send_message);
HANDLER(receive_message);
HANDLER(send_messages);
HANDLER(receive_messages);
HANDLER(set_socket_option);
HANDLER(get_socket_option);
HANDLER(sys_socketcall);

/* calls_memory.c */
HANDLER(sys_brk);
HANDLER(sys_mmap);
HANDLER(sys_mmap2);
HANDLER(map_from_memory);
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
HANDLER(sys_fork);
HANDLER(sys_vfork);
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
HANDLER(wait_for_signal);
HANDLER(wait_for_info);
HANDLER(queue_info);
HANDLER(queue_thread_info);
HANDLER(send_info);
HANDLER(sys_sigaction);
HANDLER(sys_signal);
HANDLER(sys_sigprocmask);
HANDLER(sys_sigpending);
HANDLER(sys_sigsuspend);
HANDLER(sys_sgetmask);
HANDLER(sys_ssetmask);
HANDLER(sys_sigreturn);

/* calls_ipc.c */
HANDLER(sys_semctl);
HANDLER(sys_shmctl);
HANDLER(sys_msgctl);
HANDLER(send_typed);
HANDLER(receive_typed);
HANDLER(sys_ipc);

/* calls_system.c */
HANDLER(read_clock);
HANDLER(read_time_of_day);
HANDLER(read_system_name);
HANDLER(read_system_info);
HANDLER(read_seconds);
HANDLER(set_seconds);
HANDLER(set_alarm);
HANDLER(set_file_times);
HANDLER(set_file_seconds);
HANDLER(get_old_limit);
HANDLER(get_limit);
HANDLER(set_limit);
HANDLER(get_affinity);
HANDLER(sys_nice);

/* x86/ */
HANDLER(sys_arch_prctl);
HANDLER(sys_modify_ldt);
HANDLER(sys_set_thread_area);
HANDLER(sys_get_thread_area);
HANDLER(sys_iopl);
HANDLER(sys_ioperm);
