// Loaded before libc (LD_PRELOAD), makes one of the calls fail that change files below a folder, or kills the program there.
//
//   FAULT_BELOW  the folder
//   FAULT_LOG    file that gets a line for each call
//   FAULT        full: there is no space from one call on, of which the first half is still written;
//                io: one call fails with EIO;
//                read-only: from one call on all fail with EROFS, and so does opening for writing what is there;
//                kill: the program is killed before one call
//   FAULT_AT     which call, counted from 1
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

// Programs that this one starts are left alone: they would count calls of their own.
__attribute__((constructor)) static void only_here(void) { unsetenv("LD_PRELOAD"); }

static int is_below(const char *path) {
    const char *folder = getenv("FAULT_BELOW");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

// The path of an open file (no `path`), or of a path in a folder.
static void path_of(int file, const char *path, char *whole) {
    char place[64];
    ssize_t length = 0;
    if (!path || path[0] != '/') {
        if (file == AT_FDCWD) strcpy(place, "/proc/self/cwd");
        else snprintf(place, sizeof place, "/proc/self/fd/%d", file);
        length = readlink(place, whole, PATH_MAX - 2);
        if (length < 0) length = 0;
    }
    if (path && length > 0) whole[length++] = '/';
    snprintf(whole + length, PATH_MAX - length, "%s", path ? path : "");
}

// Removing takes no space.
static int removes(const char *name) {
    return !strcmp(name, "unlink") || !strcmp(name, "unlinkat") || !strcmp(name, "rmdir");
}

// 0: go on; 1: fail, errno is set; 2: the first call without space.
static int fault(const char *name, int file, const char *path) {
    char whole[PATH_MAX];
    path_of(file, path, whole);
    if (!is_below(whole)) return 0;
    long call = atomic_fetch_add(&calls, 1) + 1;
    const char *log = getenv("FAULT_LOG"), *kind = getenv("FAULT");
    if (log) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", call, name, whole);
        int to = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        syscall(SYS_write, to, line, length);
        syscall(SYS_close, to);
    }
    long at = kind ? atol(getenv("FAULT_AT")) : 0;
    if (!at || call < at) return 0;
    if (!strcmp(kind, "kill") && call == at) kill(getpid(), SIGKILL);
    if (!strcmp(kind, "io") && call == at) return errno = EIO, 1;
    if (!strcmp(kind, "read-only")) return errno = EROFS, 1;
    if (!strcmp(kind, "full") && !removes(name)) return errno = ENOSPC, call == at ? 2 : 1;
    return 0;
}

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static int is_there(int folder, const char *path, int flags) {
    struct stat found;
    return fstatat(folder, path, &found, flags) == 0;
}

static int is_read_only(void) {
    const char *kind = getenv("FAULT");
    return kind && !strcmp(kind, "read-only");
}

// Opening what is there changes it only if it is emptied, but where all is read-only it fails for every writer.
static int opens(const char *name, int folder, const char *path, int flags) {
    int writes = is_read_only() && (flags & O_ACCMODE) != O_RDONLY;
    int changes = is_there(folder, path, 0) ? flags & O_TRUNC || writes : flags & O_CREAT;
    return changes && fault(name, folder, path);
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (opens(#name, AT_FDCWD, path, flags)) return -1;                     \
        return NEXT(int, name, const char *, int, ...)(path, flags, mode);      \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                            \
    int name(int folder, const char *path, int flags, ...) {                    \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (opens(#name, folder, path, flags)) return -1;                       \
        return NEXT(int, name, int, const char *, int, ...)(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *bytes, size_t length) {
    int what = fault("write", file, NULL);
    if (what == 1 || (what == 2 && length < 2)) return -1;
    return NEXT(ssize_t, write, int, const void *, size_t)(file, bytes, what ? length / 2 : length);
}
#define PWRITE(name)                                                            \
    ssize_t name(int file, const void *bytes, size_t length, off_t place) {     \
        if (fault(#name, file, NULL)) return -1;                                \
        return NEXT(ssize_t, name, int, const void *, size_t, off_t)(file, bytes, length, place); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)
ssize_t writev(int file, const struct iovec *parts, int count) {
    if (fault("writev", file, NULL)) return -1;
    return NEXT(ssize_t, writev, int, const struct iovec *, int)(file, parts, count);
}
#define PWRITEV(name)                                                           \
    ssize_t name(int file, const struct iovec *parts, int count, off_t place) { \
        if (fault(#name, file, NULL)) return -1;                                \
        return NEXT(ssize_t, name, int, const struct iovec *, int, off_t)(file, parts, count, place); \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)
ssize_t copy_file_range(int from, off_t *a, int to, off_t *b, size_t length, unsigned flags) {
    if (fault("copy_file_range", to, NULL)) return -1;
    return NEXT(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned)(
        from, a, to, b, length, flags);
}
ssize_t splice(int from, off_t *a, int to, off_t *b, size_t length, unsigned flags) {
    if (fault("splice", to, NULL)) return -1;
    return NEXT(ssize_t, splice, int, off_t *, int, off_t *, size_t, unsigned)(from, a, to, b, length, flags);
}
#define SENDFILE(name)                                                          \
    ssize_t name(int to, int from, off_t *place, size_t length) {               \
        if (fault(#name, to, NULL)) return -1;                                  \
        return NEXT(ssize_t, name, int, int, off_t *, size_t)(to, from, place, length); \
    }
SENDFILE(sendfile)
SENDFILE(sendfile64)
#define SYNC(name)                                                              \
    int name(int file) {                                                        \
        if (fault(#name, file, NULL)) return -1;                                \
        return NEXT(int, name, int)(file);                                      \
    }
SYNC(fsync)
SYNC(fdatasync)
#define TRUNCATE(name)                                                          \
    int name(int file, off_t length) {                                          \
        if (fault(#name, file, NULL)) return -1;                                \
        return NEXT(int, name, int, off_t)(file, length);                       \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)
int fchmod(int file, mode_t mode) {
    if (fault("fchmod", file, NULL)) return -1;
    return NEXT(int, fchmod, int, mode_t)(file, mode);
}
int chmod(const char *path, mode_t mode) {
    if (fault("chmod", AT_FDCWD, path)) return -1;
    return NEXT(int, chmod, const char *, mode_t)(path, mode);
}

// Of two names, the one that is made counts.
#define TWO_NAMES(name)                                                         \
    int name(const char *from, const char *to) {                                \
        if (fault(#name, AT_FDCWD, to)) return -1;                              \
        return NEXT(int, name, const char *, const char *)(from, to);           \
    }
TWO_NAMES(rename)
TWO_NAMES(link)
TWO_NAMES(symlink)
int renameat(int old, const char *from, int new, const char *to) {
    if (fault("renameat", new, to)) return -1;
    return NEXT(int, renameat, int, const char *, int, const char *)(old, from, new, to);
}
int renameat2(int old, const char *from, int new, const char *to, unsigned flags) {
    if (fault("renameat2", new, to)) return -1;
    return NEXT(int, renameat2, int, const char *, int, const char *, unsigned)(old, from, new, to, flags);
}
int linkat(int old, const char *from, int new, const char *to, int flags) {
    if (fault("linkat", new, to)) return -1;
    return NEXT(int, linkat, int, const char *, int, const char *, int)(old, from, new, to, flags);
}
int symlinkat(const char *from, int new, const char *to) {
    if (fault("symlinkat", new, to)) return -1;
    return NEXT(int, symlinkat, const char *, int, const char *)(from, new, to);
}
int mkdir(const char *path, mode_t mode) {
    if (!is_there(AT_FDCWD, path, 0) && fault("mkdir", AT_FDCWD, path)) return -1;
    return NEXT(int, mkdir, const char *, mode_t)(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    if (!is_there(folder, path, 0) && fault("mkdirat", folder, path)) return -1;
    return NEXT(int, mkdirat, int, const char *, mode_t)(folder, path, mode);
}
#define REMOVE(name)                                                            \
    int name(const char *path) {                                                \
        if (is_there(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW) && fault(#name, AT_FDCWD, path)) return -1; \
        return NEXT(int, name, const char *)(path);                             \
    }
REMOVE(unlink)
REMOVE(rmdir)
// Rust removes a folder with what is in it by this one.
int unlinkat(int folder, const char *path, int flags) {
    if (is_there(folder, path, AT_SYMLINK_NOFOLLOW) && fault("unlinkat", folder, path)) return -1;
    return NEXT(int, unlinkat, int, const char *, int)(folder, path, flags);
}
