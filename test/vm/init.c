/*
 * PID 1 of the test machine. test/vm/run compiles it statically, puts it alone (with kernel modules
 * and a job file) into an initramfs and boots that.
 *
 * It loads the modules, lays a tmpfs over the host's root filesystem (9p, read-only), runs the job
 * in there and sends what the job prints and its exit code through three virtio serial ports:
 *
 *     /dev/vport0p1  the job's standard output        /dev/vport0p3  one line: "exit CODE"
 *     /dev/vport0p2  the job's standard error
 *
 * A job with a terminal (-t) gets the second serial line instead of ports 1 and 2 (the first is the
 * console). There is no network device: the machine has nothing but its own loopback.
 *
 * /job holds NUL-terminated records of one kind letter and a value:
 *     C directory to start in      E NAME=VALUE of the environment     A argument of the command
 *     M host directory with lib/modules below it     W directory shared for writing     T has a
 * terminal
 */
#define _GNU_SOURCE /* pipe2, execvp with environ; this file is built by test/vm/run alone */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_WORDS = 4096,
    DRAIN_MS = 300,
    PORT_WAIT_MS = 5000
};

struct job {
    char *argv[MAX_WORDS];
    char *env[MAX_WORDS];
    const char *cwd;
    const char *modules;
    const char *shared;
    bool terminal;
};

static void __attribute__((noreturn)) stop_machine(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

/* The kernel log goes to a file on the host; what is said here is found at its end. */
static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "init: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, ": %s\n", strerror(errno));
    va_end(args);
    stop_machine();
}

static void
mount_or_die(const char *source, const char *target, const char *type, unsigned long flags,
             const char *options)
{
    mkdir(target, 0755); /* most exist already; mount() tells when one is missing */
    if (mount(source, target, type, flags, options) < 0) {
        die("mount %s on %s", source, target);
    }
}

static void
sleep_ms(long ms)
{
    struct timespec pause_for = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause_for, NULL);
}

static char *
read_file(const char *path, size_t *ret_size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        die("open %s", path);
    }
    char *text = calloc(1, (size_t)st.st_size + 1);
    while (got < (size_t)st.st_size) {
        ssize_t n = read(fd, text + got, (size_t)st.st_size - got);
        if (n <= 0) {
            die("read %s", path);
        }
        got += (size_t)n;
    }
    close(fd);
    *ret_size = got;
    return text;
}

/* Loads what /modules.list names, in its order (dependencies come first in it). */
static void
load_modules(void)
{
    size_t size;
    char *list = read_file("/modules.list", &size);
    char *rest = list;

    for (char *name = strsep(&rest, "\n"); name != NULL; name = strsep(&rest, "\n")) {
        if (*name == '\0') {
            continue;
        }
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            die("open %s", name);
        }
        if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) {
            fprintf(stderr, "init: module %s: %s\n", name, strerror(errno));
        }
        close(fd);
        unlink(name); /* its pages are memory the machine can use better */
    }
    free(list);
}

static void
read_job(struct job *job)
{
    size_t size, n_args = 0, n_env = 0;
    char *text = read_file("/job", &size);

    for (char *p = text; p < text + size; p += strlen(p) + 1) {
        if (n_args >= MAX_WORDS - 1 || n_env >= MAX_WORDS - 1) {
            die("job has too many words");
        }
        switch (*p) {
        case 'A':
            job->argv[n_args++] = p + 1;
            break;
        case 'E':
            job->env[n_env++] = p + 1;
            break;
        case 'C':
            job->cwd = p + 1;
            break;
        case 'M':
            job->modules = p + 1;
            break;
        case 'W':
            job->shared = p + 1;
            break;
        case 'T':
            job->terminal = true;
            break;
        default:
            die("job record '%c' is unknown", *p);
        }
    }
}

static void
mount_root(const struct job *job)
{
    const char *p9 = "trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro";
    char source[4096];

    mount_or_die("root", "/host", "9p", MS_RDONLY, p9);
    mount_or_die("tmpfs", "/over", "tmpfs", 0, "mode=755");
    mkdir("/over/upper", 0755);
    mkdir("/over/work", 0755);
    mount_or_die("overlay", "/new", "overlay", 0,
                 "lowerdir=/host,upperdir=/over/upper,workdir=/over/work,index=off,xino=off");
    mount_or_die("proc", "/new/proc", "proc", 0, NULL);
    mount_or_die("sysfs", "/new/sys", "sysfs", 0, NULL);
    mount_or_die("dev", "/new/dev", "devtmpfs", 0, NULL);
    mount_or_die("devpts", "/new/dev/pts", "devpts", 0, "ptmxmode=666");
    mount_or_die("shm", "/new/dev/shm", "tmpfs", 0, "mode=1777");
    mount_or_die("cgroup2", "/new/sys/fs/cgroup", "cgroup2", 0, NULL);
    /* Sockets, locks and namespaces of the host must not be seen: nothing answers behind them. */
    mount_or_die("run", "/new/run", "tmpfs", 0, "mode=755");
    mkdir("/new/run/lock", 01777);
    if (job->modules != NULL) {
        snprintf(source, sizeof source, "/host%s/lib/modules", job->modules);
        mkdir("/new/usr/lib/modules", 0755);
        mount_or_die(source, "/new/usr/lib/modules", NULL, MS_BIND, NULL);
    }
    if (job->shared != NULL) {
        snprintf(source, sizeof source, "/new%s", job->shared);
        mount_or_die("shared", source, "9p", 0,
                     "trans=virtio,version=9p2000.L,msize=512000,cache=mmap");
    }
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0) {
        die("enter the root filesystem");
    }
    mount(NULL, "/", NULL, MS_REC | MS_SHARED,
          NULL); /* as systemd leaves it; `ip netns` needs it */
}

static void
set_up_kernel(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    struct rlimit files = {.rlim_cur = 65536, .rlim_max = 1048576};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
        die("loopback");
    }
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) {
        die("loopback up");
    }
    close(fd);
    setrlimit(RLIMIT_NOFILE, &files);
    if (sethostname("canal-vm", 8) < 0) {
        die("sethostname");
    }
}

static int
open_port(const char *path)
{
    for (int waited = 0; waited < PORT_WAIT_MS; waited += 10) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            return fd;
        }
        sleep_ms(10); /* the host side is attached by an interrupt after the driver has loaded */
    }
    die("open %s", path);
}

static pid_t
start_job(const struct job *job, int out, int err)
{
    pid_t pid = fork();

    if (pid < 0) {
        die("fork");
    }
    if (pid > 0) {
        return pid;
    }
    setsid();
    if (job->terminal) {
        int tty = open("/dev/ttyS1", O_RDWR);
        if (tty < 0 || ioctl(tty, TIOCSCTTY, 1) < 0) {
            die("terminal");
        }
        dup2(tty, 0);
        dup2(tty, 1);
        dup2(tty, 2);
        close(tty);
    } else {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(out, 1);
        dup2(err, 2);
        close(null);
    }
    if (job->cwd != NULL && chdir(job->cwd) < 0) {
        fprintf(stderr, "vm: cannot enter %s: %s\n", job->cwd, strerror(errno));
        _exit(126);
    }
    environ = (char **)(unsigned long)job->env; /* before exec: PATH is searched in it */
    execvp(job->argv[0], (char **)(unsigned long)job->argv);
    fprintf(stderr, "vm: cannot run %s: %s\n", job->argv[0], strerror(errno));
    _exit(127);
}

/* Copies one piece from 'from' to 'to'; false at the end of the stream. */
static bool
pump(int from, int to)
{
    char piece[16384];
    ssize_t n = read(from, piece, sizeof piece);

    if (n <= 0) {
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    }
    for (ssize_t done = 0; done < n;) {
        ssize_t wrote = write(to, piece + done, (size_t)(n - done));
        if (wrote <= 0) {
            return false;
        }
        done += wrote;
    }
    return true;
}

static bool
reap(pid_t job, int *ret_code)
{
    bool ended = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == job) {
            *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            ended = true;
        }
    }
    return ended;
}

/* Daemons that the job left behind may hold its pipes open, so after the job's end only what has
 * already been written is waited for. */
static int
run_job(const struct job *job, int out_port, int err_port)
{
    int out[2], err[2], code = 255;
    bool ended = false;

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
        die("pipe");
    }
    pid_t pid = start_job(job, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    struct pollfd fds[2] = {{.fd = out[0], .events = POLLIN}, {.fd = err[0], .events = POLLIN}};

    for (;;) {
        int n = poll(fds, 2, ended ? DRAIN_MS : 100);
        if (n > 0 && fds[0].revents != 0 && !pump(out[0], out_port)) {
            fds[0].fd = -1;
        }
        if (n > 0 && fds[1].revents != 0 && !pump(err[0], err_port)) {
            fds[1].fd = -1;
        }
        if (ended && n <= 0) {
            return code;
        }
        ended = reap(pid, &code) || ended;
        if (ended && fds[0].fd < 0 && fds[1].fd < 0) {
            return code;
        }
    }
}

int
main(void)
{
    static struct job job;
    char line[32];
    int out = -1, err = -1;

    mount_or_die("dev", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR | O_CLOEXEC);
    if (console >= 0) {
        dup2(console, 1);
        dup2(console, 2);
    }
    mount_or_die("proc", "/proc", "proc", 0, NULL);
    mount_or_die("sysfs", "/sys", "sysfs", 0, NULL);
    read_job(&job);
    load_modules();
    mount_root(&job);
    set_up_kernel();
    if (!job.terminal) {
        out = open_port("/dev/vport0p1");
        err = open_port("/dev/vport0p2");
    }
    int control = open_port("/dev/vport0p3");
    int length = snprintf(line, sizeof line, "exit %d\n", run_job(&job, out, err));
    sync();
    if (write(control, line, (size_t)length) != length) {
        die("report the exit code");
    }
    sleep_ms(2000); /* the host ends the machine as soon as it has read the line */
    stop_machine();
}
