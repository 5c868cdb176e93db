/* canal-confd: settings, log, run. */
#include <signal.h>
#include <stdio.h>

#include "confd/confd.h"
#include "lib/base/log.h"

LOG_MODULE("confd");

static void
report(const char *text)
{
    log_warn("%s", text);
}

int
main(int argc, char **argv)
{
    struct confd_settings settings = {0};
    struct err err = ERR_INIT;
    enum log_level level = LOG_INFO;
    enum settings_outcome outcome =
        settings_load(&confd_settings_spec, argc, argv, &settings, report);
    int code = 1;

    if (outcome != SETTINGS_RUN) {
        settings_done(&confd_settings_spec, &settings);
        return outcome == SETTINGS_EXIT_OK ? 0 : 2;
    }
    /* BIRD or an API server that goes away shows as an error of the write. */
    signal(SIGPIPE, SIG_IGN);
    if (!log_level_parse(settings.log_level, &level, &err)) {
        log_warn("setting LogLevel: %s; info is used", err.text);
    }
    log_setup(level, settings.log_format == 1 ? LOG_JSON : LOG_TEXT);
    if (confd_settings_complete(&settings, &err)) {
        code = confd_run(&settings);
    } else {
        log_error("%s", err.text);
    }
    settings_done(&confd_settings_spec, &settings);
    return code;
}
