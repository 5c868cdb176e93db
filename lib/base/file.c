/* Reading files whole and replacing them in one step. Called by all programs. */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"

bool
file_read(const char *path, size_t max, struct str *ret_text, struct err *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t total = 0;

    if (fd < 0) {
        return err_sys(err, errno, "%s", path);
    }
    for (;;) {
        char *end = str_reserve(ret_text, 4096);
        ssize_t n = read(fd, end, 4096);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_sys(err, errno, "%s", path);
        }
        if (n == 0) {
            end[0] = '\0';
            return true;
        }
        total += (size_t)n;
        if (total > max) {
            return err_code(err, EFBIG, "%s: more than %zu bytes", path, max);
        }
        ret_text->len += (size_t)n;
        ret_text->text[ret_text->len] = '\0';
    }
}

static bool
write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool
replace(const char *path, const struct str *data, mode_t mode, bool sync, struct err *err)
{
    AUTO(str) struct str temp = STR_INIT;

    str_addf(&temp, "%s.new.%d", path, (int)getpid());
    {
        AUTO_FD int fd = open(temp.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
        if (fd < 0) {
            return err_sys(err, errno, "%s", temp.text);
        }
        if (!write_all(fd, str_text(data), data->len) || (sync && fsync(fd) != 0)) {
            int number = errno;
            unlink(temp.text);
            return err_sys(err, number, "write %s", temp.text);
        }
    }
    if (rename(temp.text, path) != 0) {
        int number = errno;
        unlink(temp.text);
        return err_sys(err, number, "rename %s to %s", temp.text, path);
    }
    return true;
}

bool
file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
    AUTO(str) struct str copy = STR_INIT;

    str_add_bytes(&copy, data, len);
    return replace(path, &copy, mode, true, err);
}

bool
file_replace(const char *path, const struct str *text, mode_t mode, struct err *err)
{
    return replace(path, text, mode, false, err);
}

bool
file_write_in_place(const char *path, const char *text, struct err *err)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || !write_all(fd, text, strlen(text))) {
        return err_sys(err, errno, "write %s", path);
    }
    return true;
}

bool
file_make_dir(const char *path, mode_t mode, struct err *err)
{
    AUTO_FREE char *copy = xstrdup(path);

    for (char *slash = copy + 1;; slash++) {
        if (*slash != '/' && *slash != '\0') {
            continue;
        }
        char was = *slash;
        *slash = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST) {
            return err_sys(err, errno, "create directory %s", copy);
        }
        *slash = was;
        if (was == '\0') {
            return true;
        }
    }
}
