/* Lines of the log for /dev/log. Where nobody listens they are lost, as with every program. */
#include "lib/base/log_syslog.h"

#include <stddef.h>
#include <syslog.h>

void
log_syslog_open(const char *program)
{
    closelog();
    if (program) {
        openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
    }
}

void
log_syslog_write(int level, const char *line)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

    syslog(priorities[level], "%s", line);
}
