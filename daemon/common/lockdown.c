/* SPDX-License-Identifier: Apache-2.0 */

/* Lockdown: what each process keeps is data, in the tables below; the code after them only applies it. */

#include "lockdown.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/usbdevice_fs.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* --- tables: seccomp --- */

/* One system call, or the part of it for which (argument & mask) == value; WHEN_NOT: argument != value, all of it. */
typedef struct Call {
        const char *name;
        enum { ALWAYS, WHEN, WHEN_NOT, WHEN_BOTH } when;
        unsigned argument;
        uint64_t mask;
        uint64_t value;
        unsigned argument2; /* WHEN_BOTH: a second condition, masked as well */
        uint64_t mask2;
        uint64_t value2;
} Call;

/* The kernel looks at the low half of an int argument, the filter at all of it. */
#define INT UINT32_MAX
#define NO_EXEC_MEMORY WHEN, 2, PROT_EXEC, 0 /* mmap, mprotect: never executable again */

/* Every worker: memory, its descriptors, time, random bytes, the end. */
static const Call worker_calls[] = {
        {.name = "read"},
        {.name = "readv"},
        {.name = "pread64"},
        {.name = "write"},
        {.name = "writev"},
        {.name = "close"},
        {.name = "fstat"},
        {"newfstatat", WHEN, 3, AT_EMPTY_PATH, AT_EMPTY_PATH, 0, 0, 0}, /* glibc's fstat() */
        {"fcntl", WHEN, 1, INT, F_GETFL, 0, 0, 0},
        {"fcntl", WHEN, 1, INT, F_GET_SEALS, 0, 0, 0},
        {"mmap", NO_EXEC_MEMORY, 0, 0, 0},
        {"mprotect", NO_EXEC_MEMORY, 0, 0, 0},
        {.name = "mremap"},
        {.name = "munmap"},
        {.name = "madvise"},
        {.name = "mlock"},
        {.name = "munlock"},
        {.name = "brk"},
        {.name = "futex"},
        {.name = "getrandom"},
        {.name = "clock_gettime"},
        {.name = "gettimeofday"},
        {.name = "getpid"}, /* sodium's check for fork */
        {.name = "sysinfo"}, /* glibc's qsort() asks how much memory there is */
        {.name = "rt_sigprocmask"},
        {.name = "rt_sigreturn"},
        {.name = "restart_syscall"},
        {.name = "exit"},
        {.name = "exit_group"},
};

static const Call import_calls[] = {
        {.name = "lseek"},
        {.name = "sysinfo"}, /* qsort() asks how much memory there is */
};

/* One loop over accepted connections. MSG_FASTOPEN would connect without connect(). */
static const Call gate_calls[] = {
        {.name = "accept"},
        {.name = "accept4"},
        {.name = "recvfrom"},
        {.name = "recvmsg"},
        {"sendto", WHEN, 3, MSG_FASTOPEN, 0, 0, 0, 0},
        {"sendmsg", WHEN, 2, MSG_FASTOPEN, 0, 0, 0, 0},
        {.name = "shutdown"},
        {.name = "getsockopt"},
        {.name = "setsockopt"},
        {.name = "getsockname"},
        {.name = "getpeername"},
        {.name = "epoll_ctl"},
        {.name = "epoll_wait"},
        {.name = "epoll_pwait"},
        {.name = "poll"},
        {.name = "ppoll"},
        {"fcntl", WHEN, 1, INT, F_SETFL, 0, 0, 0},
        {"fcntl", WHEN, 1, INT, F_GETFD, 0, 0, 0},
        {"fcntl", WHEN, 1, INT, F_SETFD, 0, 0, 0},
};

/*
 * What libusb does for one transfer at a time on a device that is open, and to borrow its interface from a kernel
 * driver and give it back. Not: reset, other configurations, control of the hub's ports.
 */
#define ON_DEVICE(request) {"ioctl", WHEN_BOTH, 0, INT, 3, 1, INT, (uint32_t) (request)}
static const Call usb_calls[] = {
        ON_DEVICE(USBDEVFS_SUBMITURB),
        ON_DEVICE(USBDEVFS_REAPURB),
        ON_DEVICE(USBDEVFS_REAPURBNDELAY),
        ON_DEVICE(USBDEVFS_DISCARDURB),
        ON_DEVICE(USBDEVFS_CLEAR_HALT),
        ON_DEVICE(USBDEVFS_CLAIMINTERFACE),
        ON_DEVICE(USBDEVFS_RELEASEINTERFACE),
        ON_DEVICE(USBDEVFS_DISCONNECT_CLAIM),
        ON_DEVICE(USBDEVFS_GETDRIVER),
        ON_DEVICE(USBDEVFS_IOCTL), /* a driver's attach and detach */
        {.name = "poll"},
        {.name = "ppoll"},
        {.name = "timerfd_settime"},
        {.name = "sysinfo"}, /* qsort() */
};

/* What SQLCipher, sd-event, Jansson and the core itself were measured to need, besides worker_calls. */
static const Call core_calls[] = {
        {.name = "pwrite64"},
        {.name = "lseek"},
        {.name = "open"},
        {.name = "openat"},
        {.name = "newfstatat"},
        {.name = "stat"},
        {.name = "lstat"},
        {.name = "statx"},
        {.name = "fstatfs"},
        {.name = "access"},
        {.name = "faccessat"},
        {.name = "faccessat2"},
        {.name = "readlink"},
        {.name = "readlinkat"},
        {.name = "getcwd"},
        {.name = "getdents64"},
        {.name = "mkdir"},
        {.name = "mkdirat"},
        {.name = "unlink"},
        {.name = "unlinkat"},
        {.name = "rename"},
        {.name = "renameat"},
        {.name = "renameat2"},
        {.name = "fchmod"},
        {.name = "fchown"},
        {.name = "ftruncate"},
        {.name = "fallocate"},
        {.name = "fadvise64"},
        {.name = "fsync"},
        {.name = "fdatasync"},
        {.name = "fcntl"},
        {.name = "dup"},
        {.name = "dup3"},
        {.name = "pipe2"},
        {.name = "memfd_create"},
        {.name = "umask"},
        {.name = "accept4"},
        {.name = "recvfrom"},
        {.name = "recvmsg"},
        {"sendto", WHEN, 3, MSG_FASTOPEN, 0, 0, 0, 0},
        {"sendmsg", WHEN, 2, MSG_FASTOPEN, 0, 0, 0, 0},
        {.name = "shutdown"},
        {.name = "getsockopt"},
        {.name = "setsockopt"},
        {.name = "getsockname"},
        {"socket", WHEN, 0, INT, AF_UNIX, 0, 0, 0},
        {.name = "epoll_create1"},
        {.name = "epoll_ctl"},
        {.name = "epoll_wait"},
        {.name = "epoll_pwait"},
        {.name = "epoll_pwait2"},
        {.name = "poll"},
        {.name = "ppoll"},
        {.name = "eventfd2"},
        {.name = "timerfd_create"},
        {.name = "timerfd_settime"},
        {.name = "signalfd4"},
        {.name = "pidfd_send_signal"}, /* only workers that the launcher gave a pidfd of */
        {.name = "waitid"},
        {.name = "rt_sigaction"},
        {.name = "clock_getres"},
        {.name = "clock_nanosleep"},
        {.name = "gettid"},
        {.name = "getsid"},     /* the guard: which session a peer is of */
        {.name = "pidfd_open"}, /* and whether its leader has ended */
        {.name = "getuid"},
        {.name = "geteuid"},
        {.name = "getgid"},
        {.name = "getegid"},
        {"prlimit64", WHEN, 0, INT, 0, 0, 0, 0},
        {.name = "getrusage"},
        {.name = "sysinfo"},
        {.name = "sched_getaffinity"},
        {.name = "sched_yield"},
        {.name = "uname"},
};

#define CLONE_NAMESPACES(flag) {"clone", WHEN, 0, flag, flag, 0, 0, 0}
#define KILL_SOCKET(family, type) {"socket", WHEN_BOTH, 0, INT, family, 1, 0xf, type} /* 0xf: SOCK_TYPE_MASK, linux/net.h */

/* What nobody here ever does. Kills in the core, where it is also what an exploit would try first. */
static const Call killed_calls[] = {
        {.name = "execve"},
        {.name = "uselib"},
        {.name = "connect"},
        {.name = "ptrace"},
        {.name = "process_vm_readv"},
        {.name = "process_vm_writev"},
        {.name = "process_madvise"},
        {.name = "pidfd_getfd"},
        {.name = "kcmp"},
        {.name = "bpf"},
        {.name = "perf_event_open"},
        {.name = "userfaultfd"},
        {.name = "io_uring_setup"},
        {.name = "io_uring_enter"},
        {.name = "io_uring_register"},
        {.name = "io_setup"},
        {.name = "mount"},
        {.name = "umount2"},
        {.name = "pivot_root"},
        {.name = "chroot"},
        {.name = "open_tree"},
        {.name = "move_mount"},
        {.name = "fsopen"},
        {.name = "fsconfig"},
        {.name = "fsmount"},
        {.name = "fspick"},
        {.name = "mount_setattr"},
        {.name = "swapon"},
        {.name = "swapoff"},
        {.name = "quotactl"},
        {.name = "quotactl_fd"},
        {.name = "acct"},
        {.name = "setns"},
        {.name = "unshare"},
        CLONE_NAMESPACES(CLONE_NEWUSER),
        CLONE_NAMESPACES(CLONE_NEWNS),
        CLONE_NAMESPACES(CLONE_NEWNET),
        CLONE_NAMESPACES(CLONE_NEWPID),
        CLONE_NAMESPACES(CLONE_NEWIPC),
        CLONE_NAMESPACES(CLONE_NEWUTS),
        CLONE_NAMESPACES(CLONE_NEWCGROUP),
        {.name = "init_module"},
        {.name = "finit_module"},
        {.name = "delete_module"},
        {.name = "kexec_load"},
        {.name = "kexec_file_load"},
        {.name = "reboot"},
        {.name = "add_key"},
        {.name = "request_key"},
        {.name = "keyctl"},
        {.name = "iopl"},
        {.name = "ioperm"},
        {.name = "modify_ldt"},
        {.name = "settimeofday"},
        {.name = "clock_settime"},
        {.name = "clock_adjtime"},
        {.name = "adjtimex"},
        {.name = "sethostname"},
        {.name = "setdomainname"},
        {.name = "syslog"},
        {.name = "vhangup"},
        {.name = "personality"},
        {.name = "fanotify_init"},
        {.name = "open_by_handle_at"},
        {.name = "lookup_dcookie"},
        {.name = "mbind"},
        {.name = "migrate_pages"},
        {.name = "move_pages"},
        {"sendto", WHEN, 3, MSG_FASTOPEN, MSG_FASTOPEN, 0, 0, 0},
        {"sendmsg", WHEN, 2, MSG_FASTOPEN, MSG_FASTOPEN, 0, 0, 0},
        {"sendmmsg", WHEN, 3, MSG_FASTOPEN, MSG_FASTOPEN, 0, 0, 0},
};

/* Besides those, the core: it starts nothing and reaches nobody. */
static const Call core_killed_calls[] = {
        {.name = "execveat"},
        {"socket", WHEN_NOT, 0, INT, AF_UNIX, 0, 0, 0},
};

/*
 * Besides those, the launcher and so everybody: programs are started by descriptor; sockets are AF_UNIX, or streams of
 * IPv4 and IPv6 for the gate to listen on.
 */
static const Call launcher_killed_calls[] = {
        {"execveat", WHEN, 4, AT_EMPTY_PATH, 0, 0, 0, 0},
        KILL_SOCKET(AF_INET, SOCK_DGRAM),
        KILL_SOCKET(AF_INET, SOCK_RAW),
        KILL_SOCKET(AF_INET, SOCK_SEQPACKET),
        KILL_SOCKET(AF_INET, SOCK_DCCP),
        KILL_SOCKET(AF_INET, SOCK_PACKET),
        KILL_SOCKET(AF_INET6, SOCK_DGRAM),
        KILL_SOCKET(AF_INET6, SOCK_RAW),
        KILL_SOCKET(AF_INET6, SOCK_SEQPACKET),
        KILL_SOCKET(AF_INET6, SOCK_DCCP),
};

/* --- tables: limits --- */

typedef struct Limit {
        int resource;
        rlim_t value;
} Limit;

#define MIB (UINT64_C(1) << 20)

static const Limit launcher_limits[] = {{RLIMIT_CORE, 0}};
static const Limit core_limits[] = {{RLIMIT_CORE, 0}};
/* Argon2 with the 4 GiB that a slot may ask for at most */
static const Limit kdf_limits[] = {
        {RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_NOFILE, 4}, {RLIMIT_AS, 4096 * MIB + 256 * MIB}, {RLIMIT_CPU, 300}};
static const Limit import_limits[] = {
        {RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_NOFILE, 4}, {RLIMIT_AS, 512 * MIB}, {RLIMIT_CPU, 600}};
static const Limit usb_limits[] = {
        {RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_NOFILE, 8}, {RLIMIT_AS, 256 * MIB}, {RLIMIT_CPU, 300}, {RLIMIT_FSIZE, 16 * MIB}};
static const Limit gate_limits[] = {
        {RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_NOFILE, 512}, {RLIMIT_AS, 1024 * MIB}};

/* --- tables: Landlock --- */

/*
 * Constants that linux/landlock.h of Debian 12 (kernel 6.1, ABI 2) lacks: ABI 3 TRUNCATE, 4 network, 5 IOCTL_DEV,
 * 6 scopes; from include/uapi/linux/landlock.h of kernel 6.12.
 */
enum {
        ACCESS_TRUNCATE = 1 << 14,
        ACCESS_IOCTL_DEV = 1 << 15,
        ACCESS_NET_BIND_TCP = 1 << 0,
        ACCESS_NET_CONNECT_TCP = 1 << 1,
        SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
        SCOPE_SIGNAL = 1 << 1,
};

typedef struct RulesetAttribute { /* struct landlock_ruleset_attr of ABI 6; older kernels take its beginning */
        uint64_t handled_access_fs;
        uint64_t handled_access_net;
        uint64_t scoped;
} RulesetAttribute;

static const uint64_t all_of_abi[] = {
        0,
        (1 << 13) - 1, /* ABI 1: EXECUTE .. MAKE_SYM */
        (1 << 14) - 1, /* 2: REFER */
        (1 << 15) - 1, /* 3: TRUNCATE */
        (1 << 15) - 1,
        (1 << 16) - 1, /* 5: IOCTL_DEV */
};

enum {
        READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        STATE = READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                LANDLOCK_ACCESS_FS_MAKE_DIR | ACCESS_TRUNCATE,
        OF_A_FILE = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | ACCESS_TRUNCATE |
                    ACCESS_IOCTL_DEV,
};

typedef struct Place {
        const char *path; /* left out where it does not exist */
        uint64_t access;
} Place;

/* For the time zone, which can be set while the core runs. /dev/urandom: SQLite 3.15 seeds file names with it. */
static const Place core_places[] = {
        {"/usr/share/zoneinfo", READ},
        {"/etc/localtime", READ},
        {"/dev/urandom", READ},
};

/* What the dynamic loader and the workers' libraries read before a worker locks itself down. */
static const Place launcher_places[] = {
        {"/lib64/ld-linux-x86-64.so.2", READ | LANDLOCK_ACCESS_FS_EXECUTE},
        {"/lib/ld-linux-aarch64.so.1", READ | LANDLOCK_ACCESS_FS_EXECUTE},
        {"/lib", READ},
        {"/lib64", READ},
        {"/usr/lib", READ},
        {"/usr/lib64", READ},
        {"/usr/local/lib", READ},
        {"/usr/share/zoneinfo", READ},
        {"/usr/share/crypto-policies", READ},
        {"/etc/ld.so.cache", READ},
        {"/etc/localtime", READ},
        {"/etc/ssl/openssl.cnf", READ},
        {"/etc/gnutls", READ},
        {"/etc/crypto-policies", READ},
        {"/dev/null", READ | LANDLOCK_ACCESS_FS_WRITE_FILE},
        {"/dev/urandom", READ},
};

/* --- the profiles --- */

typedef struct Profile {
        uint32_t default_action;
        const Call *lists[2]; /* allowed, where the default is not to allow */
        size_t n_lists[2];
        const Call *killed[2];
        size_t n_killed[2];
        const Limit *limits;
        size_t n_limits;
        const Place *places;
        size_t n_places;
        uint64_t handled_net;
        uint64_t scoped;
        bool is_worker;
} Profile;

#define LIST(list) list, N_ELEMENTS(list)
#define LISTS(a, b) {a, b}, {N_ELEMENTS(a), N_ELEMENTS(b)}
#define LISTS_1(a) {a, NULL}, {N_ELEMENTS(a), 0}
#define NO_LISTS {NULL, NULL}, {0, 0}

static const Profile profiles[N_LOCKDOWN_PROFILES] = {
        [LOCKDOWN_LAUNCHER] = {SCMP_ACT_ALLOW, NO_LISTS, LISTS(killed_calls, launcher_killed_calls), LIST(launcher_limits),
                               LIST(launcher_places), ACCESS_NET_CONNECT_TCP, SCOPE_SIGNAL, false},
        [LOCKDOWN_CORE] = {SCMP_ACT_TRAP, LISTS(worker_calls, core_calls), LISTS(killed_calls, core_killed_calls),
                           LIST(core_limits), LIST(core_places), ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP,
                           0, false}, /* not SCOPE_ABSTRACT_UNIX_SOCKET: $NOTIFY_SOCKET may be one */
        [LOCKDOWN_KDF] = {SCMP_ACT_KILL_PROCESS, LISTS_1(worker_calls), NO_LISTS, LIST(kdf_limits), NULL, 0,
                          ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, true},
        [LOCKDOWN_IMPORT] = {SCMP_ACT_KILL_PROCESS, LISTS(worker_calls, import_calls), NO_LISTS, LIST(import_limits), NULL, 0,
                             ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, true},
        [LOCKDOWN_USB] = {SCMP_ACT_KILL_PROCESS, LISTS(worker_calls, usb_calls), NO_LISTS, LIST(usb_limits), NULL, 0,
                          ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, true},
        [LOCKDOWN_GATE] = {SCMP_ACT_KILL_PROCESS, LISTS(worker_calls, gate_calls), NO_LISTS, LIST(gate_limits), NULL, 0,
                           ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP, SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, true},
};

/* --- limits and capabilities --- */

static int set_limits(const Profile *profile) {
        for (size_t i = 0; i < profile->n_limits; i++) {
                const Limit *limit = &profile->limits[i];
                struct rlimit now;

                if (getrlimit((__rlimit_resource_t) limit->resource, &now) < 0)
                        return -errno;
                if (now.rlim_max > limit->value)
                        now.rlim_max = limit->value;
                if (now.rlim_cur > now.rlim_max)
                        now.rlim_cur = now.rlim_max;
                if (setrlimit((__rlimit_resource_t) limit->resource, &now) < 0)
                        return -errno;
        }
        return 0;
}

/* A worker that runs as root, as in a container, is root no more. */
static int drop_capabilities(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

        return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* --- Landlock --- */

static int allow_below(int ruleset, int fd, uint64_t access, uint64_t handled) {
        struct landlock_path_beneath_attr rule = {.parent_fd = fd};
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        rule.allowed_access = access & handled & (S_ISDIR(st.st_mode) ? UINT64_MAX : (uint64_t) OF_A_FILE);
        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

static int restrict_files(const Profile *profile, const Lockdown *lockdown) {
        cleanup(close_fdp) int ruleset = -1;
        RulesetAttribute attribute = {0};
        size_t n_attribute = sizeof(attribute.handled_access_fs);
        long abi;
        int r;

        if (lockdown->ret_landlock_abi)
                *lockdown->ret_landlock_abi = 0;

        abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (abi < 0) /* ENOSYS: no Landlock; EOPNOTSUPP: off at boot; EPERM: a container's filter */
                return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;

        attribute.handled_access_fs = all_of_abi[abi < (long) N_ELEMENTS(all_of_abi) ? abi : (long) N_ELEMENTS(all_of_abi) - 1];
        if (abi >= 4) {
                attribute.handled_access_net = profile->handled_net;
                n_attribute = offsetof(RulesetAttribute, scoped);
        }
        if (abi >= 6) {
                attribute.scoped = profile->scoped;
                n_attribute = sizeof(attribute);
        }

        ruleset = (int) syscall(SYS_landlock_create_ruleset, &attribute, n_attribute, 0);
        if (ruleset < 0)
                return -errno;

        for (size_t i = 0; i < profile->n_places; i++) {
                cleanup(close_fdp) int fd = open(profile->places[i].path, O_PATH | O_CLOEXEC);

                if (fd < 0)
                        continue;
                r = allow_below(ruleset, fd, profile->places[i].access, attribute.handled_access_fs);
                if (r < 0)
                        return r;
        }
        if (!profile->is_worker && lockdown->state_dir_fd >= 0) {
                r = allow_below(ruleset, lockdown->state_dir_fd, STATE, attribute.handled_access_fs);
                if (r < 0)
                        return r;
        }
        if (lockdown->profile == LOCKDOWN_LAUNCHER) {
                if (lockdown->socket_dir_fd >= 0) {
                        r = allow_below(ruleset, lockdown->socket_dir_fd, LANDLOCK_ACCESS_FS_REMOVE_FILE,
                                        attribute.handled_access_fs);
                        if (r < 0)
                                return r;
                }
                for (size_t i = 0; i < lockdown->n_exec_fds; i++) {
                        r = allow_below(ruleset, lockdown->exec_fds[i],
                                        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE, attribute.handled_access_fs);
                        if (r < 0)
                                return r;
                }
        }

        if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return -errno;
        if (lockdown->ret_landlock_abi)
                *lockdown->ret_landlock_abi = (int) abi;
        return 0;
}

/* --- seccomp --- */

/* SCMP_ACT_TRAP in the core: say which call it was, once each, and let it fail with ENOSYS. */
static void on_unknown_call(int signal_number, siginfo_t *info, void *context) {
        static volatile sig_atomic_t said[1000];
        ucontext_t *uc = context;
        unsigned number = (unsigned) info->si_syscall;

        (void) signal_number;

#if defined(__x86_64__)
        uc->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
        uc->uc_mcontext.regs[0] = (unsigned long long) -ENOSYS;
#else
#error "where does this machine return a system call's result?"
#endif

        if (number < N_ELEMENTS(said) && !said[number]) {
                static const char before[] = "carewalletd: core: unknown system call ", after[] = ", answered with ENOSYS\n";
                char line[sizeof(before) + 8 + sizeof(after)];
                size_t n = sizeof(before) - 1;

                said[number] = 1;
                memcpy(line, before, n);
                for (unsigned unit = 100; unit > 0; unit /= 10) /* no stdio in a signal handler */
                        if (number >= unit)
                                line[n++] = (char) ('0' + number / unit % 10);
                memcpy(line + n, after, sizeof(after) - 1);
                (void) !write(STDERR_FILENO, line, n + sizeof(after) - 1);
        }
}

static int add_calls(scmp_filter_ctx filter, uint32_t action, const Call *calls, size_t n_calls) {
        for (size_t i = 0; i < n_calls; i++) {
                const Call *call = &calls[i];
                int number = seccomp_syscall_resolve_name(call->name), r = 0;

                if (number < 0) /* not on this machine, or newer than libseccomp: the default is right for it */
                        continue;

                switch (call->when) {
                case ALWAYS:
                        r = seccomp_rule_add(filter, action, number, 0);
                        break;
                case WHEN:
                        r = seccomp_rule_add(filter, action, number, 1,
                                             SCMP_CMP(call->argument, SCMP_CMP_MASKED_EQ, call->mask, call->value));
                        break;
                case WHEN_NOT:
                        r = seccomp_rule_add(filter, action, number, 1, SCMP_CMP(call->argument, SCMP_CMP_NE, call->value, 0));
                        break;
                case WHEN_BOTH:
                        r = seccomp_rule_add(filter, action, number, 2,
                                             SCMP_CMP(call->argument, SCMP_CMP_MASKED_EQ, call->mask, call->value),
                                             SCMP_CMP(call->argument2, SCMP_CMP_MASKED_EQ, call->mask2, call->value2));
                        break;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Socket families that the launcher does not know are killed by exclusion: seccomp has no "none of these three". */
static int kill_other_families(scmp_filter_ctx filter) {
        for (unsigned family = 0; family <= AF_MAX; family++) {
                int r;

                if (family == AF_UNIX || family == AF_INET || family == AF_INET6)
                        continue;
                r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, INT, family));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int build_filter(scmp_filter_ctx filter, const Lockdown *lockdown, const Profile *profile) {
        int r;

        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r < 0)
                return r;
        r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
        if (r < 0)
                return r;
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: the lists are long */
        if (r < 0)
                return r;

        for (size_t i = 0; i < N_ELEMENTS(profile->lists); i++) {
                r = add_calls(filter, SCMP_ACT_ALLOW, profile->lists[i], profile->n_lists[i]);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < N_ELEMENTS(profile->killed); i++) {
                r = add_calls(filter, SCMP_ACT_KILL_PROCESS, profile->killed[i], profile->n_killed[i]);
                if (r < 0)
                        return r;
        }
        if (lockdown->profile == LOCKDOWN_LAUNCHER) {
                r = kill_other_families(filter);
                if (r < 0)
                        return r;
                /* its flags are out of a filter's reach; glibc falls back to clone */
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int restrict_calls(const Lockdown *lockdown, const Profile *profile) {
        scmp_filter_ctx filter;
        int r;

        filter = seccomp_init(profile->default_action);
        if (!filter)
                return -ENOMEM;
        r = build_filter(filter, lockdown, profile);
        if (r >= 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? r : 0;
}

int lockdown(const Lockdown *lockdown) {
        const Profile *profile;
        int r;

        assert(lockdown);
        assert((unsigned) lockdown->profile < N_LOCKDOWN_PROFILES);

        profile = &profiles[lockdown->profile];

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;

        r = restrict_files(profile, lockdown);
        if (r < 0)
                return r;

        if (profile->is_worker) {
                r = drop_capabilities();
                if (r < 0)
                        return r;
        }

        r = set_limits(profile);
        if (r < 0)
                return r;

        if (profile->default_action == SCMP_ACT_TRAP) {
                struct sigaction action = {.sa_sigaction = on_unknown_call, .sa_flags = SA_SIGINFO | SA_RESTART};

                if (sigaction(SIGSYS, &action, NULL) < 0)
                        return -errno;
        }
        return restrict_calls(lockdown, profile);
}
