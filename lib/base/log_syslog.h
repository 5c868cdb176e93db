/* The system's log, apart from log.h, because <syslog.h> has names of its own for levels. Used by
 * log.c only. */
#pragma once

/* 'program' is borrowed until the next call; NULL closes. */
void log_syslog_open(const char *program);
/* 'level' is one of enum log_level; the line has no newline. */
void log_syslog_write(int level, const char *line);
