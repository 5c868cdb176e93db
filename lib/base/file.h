/* Whole files, read and written without surprises. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Appends the file's bytes to 'ret_text'. A file of more than 'max' bytes is an error. err.code is
 * the errno. */
MUST_CHECK bool file_read(const char *path, size_t max, struct str *ret_text, struct err *err);
/* Writes a temporary file beside 'path', syncs it, renames it over 'path': readers see the old or
 * the new bytes, never a part. */
MUST_CHECK bool file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                                  struct err *err);
/* The same without waiting for the disk: it survives a killed process, not a power cut. For what a
 * reboot makes void anyway. */
MUST_CHECK bool file_replace(const char *path, const struct str *text, mode_t mode,
                             struct err *err);
/* Writes text to an existing file in one write, as sysctl files want it. */
MUST_CHECK bool file_write_in_place(const char *path, const char *text, struct err *err);
/* Creates a directory and its missing parents. */
MUST_CHECK bool file_make_dir(const char *path, mode_t mode, struct err *err);
