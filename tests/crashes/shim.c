/* A faulty disk, preloaded into a process: it counts every change below one folder, and lets one of
 * them fail. DuckDB, Arrow and Python all call libc for it, so all of them are seen.
 *
 *     cc -shared -fPIC -O1 -o shim.so shim.c -ldl        LD_PRELOAD=shim.so
 *
 * Nothing is counted until arm() is called.
 *
 * A disk that fails now and then needs no call: DISK names the folder, and WEATHER a file of three
 * 32-bit numbers that may be changed at any time: of a million changes so many end with an I/O
 * error, so many take 20 ms longer; and whether the disk is full. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t folder_size;
static long fatal;       /* the number of the change that fails; 0: none */
static char fault;       /* k: killed before it, s: killed half way through a write, i: an I/O error,
                            f: a disk that is full from then on */
static int report = -1;  /* where each change is reported, one line each */
static int leave = -1;   /* where one byte is read after each line, before the change */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;
static atomic_long changes;

void arm(const char *where, long number, char kind, int reports, int leaves) {
    strncpy(folder, where, sizeof folder - 1);
    fatal = number, fault = kind, report = reports, leave = leaves;
    changes = 0;
    folder_size = strlen(folder);
}

long counted(void) { return changes; }

static const volatile struct { uint32_t errors, slow, full; } *weather;

__attribute__((constructor)) static void look_out(void) {
    const char *where = getenv("DISK"), *path = getenv("WEATHER");
    int file = where && path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *weather, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) return;
    weather = page;
    arm(where, 0, 'k', -1, -1);
}

static uint32_t one_of_a_million(void) {
    static _Thread_local unsigned state;
    if (!state) state = (unsigned)getpid() ^ (unsigned)(uintptr_t)&state;
    return (uint32_t)((double)rand_r(&state) / ((double)RAND_MAX + 1) * 1e6);
}

/* The error that the weather brings to one change, or 0. */
static int misfortune(int grows) {
    if (!weather) return 0;
    if (one_of_a_million() < weather->slow) usleep(20000);
    if (one_of_a_million() < weather->errors) return EIO;
    return weather->full && grows ? ENOSPC : 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

enum verdict { GO_ON, FAIL, TEAR };

/* What becomes of one change. `grows`: it needs room on the disk. */
static enum verdict step(const char *kind, const char *path, int grows) {
    if (!folder_size || strncmp(path, folder, folder_size)) return GO_ON;
    if (path[folder_size] && path[folder_size] != '/') return GO_ON; /* a neighbour */
    long number = atomic_fetch_add(&changes, 1) + 1;
    if (report >= 0) {
        char answer;
        pthread_mutex_lock(&asking);
        dprintf(report, "%s\t%d\t%s\n", kind, grows, path + folder_size);
        while (read(leave, &answer, 1) < 0 && errno == EINTR) continue;
        pthread_mutex_unlock(&asking);
    }
    int bad = misfortune(grows);
    if (bad) {
        errno = bad;
        return FAIL;
    }
    if (!fatal || number < fatal) return GO_ON;
    if (fault == 'f') {
        if (!grows) return GO_ON;
        errno = ENOSPC;
        return FAIL;
    }
    if (number != fatal) return GO_ON;
    if (fault == 'i') {
        errno = EIO;
        return FAIL;
    }
    if (fault == 's' && grows) return TEAR;
    die();
    return FAIL;
}

static enum verdict step_file(const char *kind, int descriptor, int grows) {
    char link[64], path[PATH_MAX];
    if (!folder_size) return GO_ON;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return GO_ON;
    path[size] = 0;
    return step(kind, path, grows);
}

static enum verdict step_at(const char *kind, int at, const char *name, int grows) {
    char link[64], path[2 * PATH_MAX];
    if (!folder_size) return GO_ON;
    if (*name == '/') return step(kind, name, grows);
    if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0) return GO_ON;
    snprintf(path + size, PATH_MAX, "/%s", name);
    return step(kind, path, grows);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITER(name, result, parameters, whole, half)                     \
    result name parameters {                                              \
        static __typeof__(&name) next;                                    \
        if (!next) next = NEXT(name);                                     \
        switch (step_file("write", fd, 1)) {                              \
        case FAIL: return -1;                                             \
        case TEAR: next half; die(); return -1;                           \
        default: return next whole;                                       \
        }                                                                 \
    }

WRITER(write, ssize_t, (int fd, const void *data, size_t size), (fd, data, size),
       (fd, data, size / 2))
WRITER(pwrite, ssize_t, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at),
       (fd, data, size / 2, at))
WRITER(pwrite64, ssize_t, (int fd, const void *data, size_t size, off64_t at),
       (fd, data, size, at), (fd, data, size / 2, at))
WRITER(writev, ssize_t, (int fd, const struct iovec *parts, int count), (fd, parts, count),
       (fd, parts, count / 2))
WRITER(sendfile, ssize_t, (int fd, int from, off_t *at, size_t size), (fd, from, at, size),
       (fd, from, at, size / 2))
WRITER(copy_file_range, ssize_t,
       (int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags),
       (from, at, fd, to, size, flags), (from, at, fd, to, size / 2, flags))

#define PLAIN(name, parameters, stepped, whole)                           \
    int name parameters {                                                 \
        static __typeof__(&name) next;                                    \
        if (!next) next = NEXT(name);                                     \
        enum verdict verdict = stepped;                                   \
        if (verdict == TEAR) die(); /* half of it is none of it */        \
        return verdict == FAIL ? -1 : next whole;                         \
    }

PLAIN(fsync, (int fd), step_file("fsync", fd, 0), (fd))
PLAIN(fdatasync, (int fd), step_file("fsync", fd, 0), (fd))
PLAIN(ftruncate, (int fd, off_t size), step_file("truncate", fd, 0), (fd, size))
PLAIN(ftruncate64, (int fd, off64_t size), step_file("truncate", fd, 0), (fd, size))
PLAIN(rename, (const char *from, const char *to), step_at("rename", AT_FDCWD, to, 0), (from, to))
PLAIN(renameat, (int at, const char *from, int where, const char *to),
      step_at("rename", where, to, 0), (at, from, where, to))
PLAIN(link, (const char *from, const char *to), step_at("link", AT_FDCWD, to, 1), (from, to))
PLAIN(linkat, (int at, const char *from, int where, const char *to, int flags),
      step_at("link", where, to, 1), (at, from, where, to, flags))
PLAIN(symlink, (const char *from, const char *to), step_at("link", AT_FDCWD, to, 1), (from, to))
PLAIN(unlink, (const char *path), step_at("unlink", AT_FDCWD, path, 0), (path))
PLAIN(unlinkat, (int at, const char *path, int flags), step_at("unlink", at, path, 0),
      (at, path, flags))
PLAIN(rmdir, (const char *path), step_at("unlink", AT_FDCWD, path, 0), (path))
PLAIN(mkdir, (const char *path, mode_t mode), step_at("mkdir", AT_FDCWD, path, 1), (path, mode))
