/* The table of settings. Used by main.c. */
#include "confd/settings.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confd/quote.h"
#include "lib/base/alloc.h"

#define AT(field) offsetof(struct confd_settings, field)

static const char *const log_formats[] = {"text", "json", NULL};

static const struct setting rows[] = {
    {.name = "NodeName",
     .env = "NODENAME",
     .type = SETTING_TEXT,
     .offset = AT(node_name),
     .initial = "",
     .help = "Name of this node in the API. Empty: the host name in lower case."},
    {.name = "Kubeconfig",
     .env = "KUBECONFIG",
     .type = SETTING_TEXT,
     .offset = AT(kubeconfig),
     .initial = "",
     .help = "How to reach the API. Empty: the pod's service account."},
    {.name = "RunDir",
     .env = "CANAL_RUN_DIR",
     .type = SETTING_TEXT,
     .offset = AT(run_dir),
     .initial = "/run/canal",
     .help = "Directory of bird.conf and bird.ctl."},
    {.name = "BirdConfig",
     .env = "CANAL_BIRD_CONFIG",
     .type = SETTING_TEXT,
     .offset = AT(bird_config),
     .initial = "",
     .help = "File that is written for BIRD. Empty: bird.conf in the run directory."},
    {.name = "BirdSocket",
     .env = "CANAL_BIRD_SOCKET",
     .type = SETTING_TEXT,
     .offset = AT(bird_socket),
     .initial = "",
     .help = "BIRD's control socket. Empty: bird.ctl in the run directory."},
    {.name = "BirdBinary",
     .env = "CANAL_BIRD",
     .type = SETTING_TEXT,
     .offset = AT(bird_binary),
     .initial = "bird",
     .help = "Checks a configuration (bird -p) while no BIRD runs; looked up in PATH."},
    {.name = "Templates",
     .env = "CANAL_TEMPLATES",
     .type = SETTING_TEXT,
     .offset = AT(templates),
     .initial = "",
     .help = "Directories of templates, separated by ':'; the first that has a file provides it. "
             "Empty: /etc/canal/bird-templates and those installed with canal-confd."},
    {.name = "LocalDir",
     .env = "CANAL_BIRD_LOCAL",
     .type = SETTING_TEXT,
     .offset = AT(local_dir),
     .initial = "/etc/canal/local.d",
     .help = "Files *.conf in this directory are included at the end of BIRD's configuration."},
    {.name = "DefaultAS",
     .env = "CANAL_DEFAULT_AS",
     .type = SETTING_U32,
     .offset = AT(default_as),
     .initial = "64512",
     .min = 1,
     .help = "AS number of nodes when no BGPConfiguration gives one."},
    {.name = "GracefulRestartWait",
     .env = "CANAL_GRACEFUL_RESTART_WAIT",
     .type = SETTING_U32,
     .offset = AT(graceful_restart_wait_s),
     .initial = "30",
     .min = 1,
     .max = 3600,
     .help = "Seconds a restarted BIRD waits for its peers before it changes kernel routes."},
    {.name = "StartGrace",
     .env = "CANAL_START_GRACE",
     .type = SETTING_DURATION,
     .offset = AT(start_grace_ms),
     .initial = "30s",
     .help =
         "For so long after the start, ready means that all peers are established; later, one."},
    {.name = "Window",
     .env = "CANAL_CONFD_WINDOW",
     .type = SETTING_MILLIS,
     .offset = AT(window_ms),
     .initial = "20",
     .help = "Changes within so many milliseconds are one reload."},
    {.name = "Objects",
     .env = NULL,
     .type = SETTING_TEXT,
     .offset = AT(objects),
     .initial = "",
     .help =
         "Read the objects from this YAML or JSON file instead of the API; a running confd reads "
         "it again on SIGHUP."},
    {.name = "LogLevel",
     .env = "CANAL_LOG_LEVEL",
     .type = SETTING_TEXT,
     .offset = AT(log_level),
     .initial = "info",
     .help = "error, warn, info or debug."},
    {.name = "LogFormat",
     .env = "CANAL_LOG_FORMAT",
     .type = SETTING_CHOICE,
     .offset = AT(log_format),
     .initial = "text",
     .choices = log_formats,
     .help = "Shape of log lines."},
    {.name = "MetricsHost",
     .env = "CANAL_CONFD_METRICS_HOST",
     .type = SETTING_TEXT,
     .offset = AT(metrics_host),
     .initial = "localhost",
     .help = "Address of /metrics, /readiness and /liveness; empty is every address."},
    {.name = "MetricsPort",
     .env = "CANAL_CONFD_METRICS_PORT",
     .type = SETTING_U32,
     .offset = AT(metrics_port),
     .initial = "9092",
     .min = 0,
     .max = 65535,
     .help = "Port of the same; 0 turns them off."},
    {.name = "Once",
     .type = SETTING_FLAG,
     .offset = AT(is_once),
     .initial = "false",
     .help = "Do the work once and end."},
    {.name = "DryRun",
     .type = SETTING_FLAG,
     .offset = AT(is_dry_run),
     .initial = "false",
     .help = "With --once: print the configuration, write nothing."},
    {.name = "DumpContext",
     .type = SETTING_FLAG,
     .offset = AT(is_dump_context),
     .initial = "false",
     .help = "With --once: print the templates' context as JSON."},
};

const struct settings_spec confd_settings_spec = {
    .program = "canal-confd",
    .summary = "Writes BIRD's configuration from the objects of a Kubernetes cluster.",
    .file_env = "CANAL_CONFIG",
    .file = "/etc/canal/canal.conf",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
};

static void
set_below(char **path, const char *dir, const char *name)
{
    if ((*path)[0] == '\0') {
        free(*path);
        *path = xmalloc(strlen(dir) + strlen(name) + 2);
        sprintf(*path, "%s/%s", dir, name);
    }
}

/* Beside the program: installed (<prefix>/bin) and built (build/). */
static void
templates_find(struct confd_settings *settings)
{
    static const char *const beside[] = {"../share/canal/bird-templates", "../bird-templates"};
    char exe[PATH_MAX];
    AUTO(str) struct str paths = STR_INIT;

    str_add(&paths, "/etc/canal/bird-templates");
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (len > 0) {
        exe[len] = '\0';
        *strrchr(exe, '/') = '\0';
        for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
            str_addf(&paths, ":%s/%s", exe, beside[i]);
        }
    }
    free(settings->templates);
    settings->templates = str_steal(&paths);
}

bool
confd_settings_complete(struct confd_settings *settings, struct err *err)
{
    char host[256] = "";

    if (settings->node_name[0] == '\0') {
        if (gethostname(host, sizeof host - 1) < 0 || host[0] == '\0') {
            return err_set(err, "NODENAME is not set and the host has no name");
        }
        for (char *c = host; *c != '\0'; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        }
        free(settings->node_name);
        settings->node_name = xstrdup(host);
    }
    set_below(&settings->bird_config, settings->run_dir, "bird.conf");
    set_below(&settings->bird_socket, settings->run_dir, "bird.ctl");
    if (settings->templates[0] == '\0') {
        templates_find(settings);
    }
    if (settings->is_dry_run || settings->is_dump_context) {
        settings->is_once = true;
    }
    return quote_string_ok(settings->bird_config, err);
}
