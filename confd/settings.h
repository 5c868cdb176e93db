/* Settings of canal-confd. The table is the parser, --help and docs/settings.md in one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/settings/settings.h"

struct confd_settings {
    char *node_name;
    char *kubeconfig;
    char *run_dir;
    char *bird_config;
    char *bird_socket;
    char *bird_binary;
    char *templates;
    char *local_dir;
    char *objects;
    uint32_t default_as;
    uint32_t graceful_restart_wait_s;
    uint64_t start_grace_ms;
    uint64_t window_ms;
    char *log_level;
    unsigned log_format;
    char *metrics_host;
    uint32_t metrics_port;
    bool is_once;
    bool is_dry_run;
    bool is_dump_context;
};

extern const struct settings_spec confd_settings_spec;
/* Fills in what follows from the others: node name, paths below the run directory, templates. */
MUST_CHECK bool confd_settings_complete(struct confd_settings *settings, struct err *err);
