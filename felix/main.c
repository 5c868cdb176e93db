/* canal-felix: settings, signals, the loop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "felix/configuration.h"
#include "felix/felix.h"
#include "lib/base/log.h"

LOG_MODULE("main");

static void
report_setting(const char *text)
{
    log_error("%s", text);
}

static void
on_signal(uv_signal_t *handle, int number)
{
    struct felix *felix = handle->data;

    log_info("ending on signal %d; the kernel keeps everything as it is", number);
    uv_signal_stop(handle);
    felix_stop(felix);
    uv_stop(handle->loop);
}

/* Until a signal, or a setting that needs a start (*ret_again). */
static bool
run(struct configuration *configuration, bool *ret_again, struct err *err)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    uv_signal_t signals[ARRAY_LEN(numbers)];
    struct felix *felix = NULL;
    uv_loop_t *loop = uv_default_loop();

    if (!felix_new(loop, configuration, &felix, err)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(loop, &signals[i]);
        signals[i].data = felix;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    *ret_again = felix_wants_start(felix);
    if (*ret_again) {
        log_info("starting anew; the kernel keeps everything as it is");
        felix_stop(felix);
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_close((uv_handle_t *)&signals[i], NULL);
    }
    felix_free(felix);
    return true;
}

int
main(int argc, char **argv)
{
    struct configuration *configuration = NULL;
    struct err err = ERR_INIT;

    signal(SIGPIPE, SIG_IGN);
    switch (configuration_load(argc, argv, report_setting, &configuration)) {
    case SETTINGS_EXIT_OK:
        return EXIT_SUCCESS;
    case SETTINGS_EXIT_BAD:
        return EXIT_FAILURE;
    case SETTINGS_RUN:
        break;
    }
    felix_setup_log(configuration_settings(configuration));
    bool is_again = false;
    bool is_good = run(configuration, &is_again, &err);
    while (is_good && is_again) {
        configuration_start_anew(configuration);
        felix_setup_log(configuration_settings(configuration));
        is_good = run(configuration, &is_again, &err);
    }
    if (!is_good) {
        log_error("%s", err.text);
    }
    configuration_free(configuration);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
