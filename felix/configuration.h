/* felix's settings over its life: what flags, environment and file gave at the start, overlaid by
 * the FelixConfiguration objects. Highest first: flag, environment, file, "node.<name>", those with
 * a nodeSelector that matches (the last by name first), "default", built-in.
 *
 * Most settings change while felix runs; for the others it starts anew in the same process. What
 * the objects say is kept in a file in the state directory, which serves while the API is away. */
#pragma once

#include "felix/settings.h"
#include "lib/model/store.h"

struct configuration;

/* Outcome and 'report' as of settings_load(). On SETTINGS_RUN the caller frees *ret_configuration.
 */
MUST_CHECK enum settings_outcome configuration_load(int argc, char *const argv[],
                                                    void (*report)(const char *text),
                                                    struct configuration **ret_configuration);
void configuration_free(struct configuration *configuration);
/* The settings in force: the pointer stays, values change in configuration_update(), those that
 * need a start in configuration_start_anew() only. */
const struct felix_settings *configuration_settings(const struct configuration *configuration);

struct configuration_news {
    unsigned effects; /* bits of enum felix_effect */
    size_t n_bad;     /* fields of the objects that are not known or not usable */
};

/* Takes up what the objects in the store say now. 'report' gets one line for everything that is
 * wrong or needs a start, once as long as it stays so. */
void configuration_update(struct configuration *configuration, const struct store *store,
                          const char *node_name, void (*report)(void *owner, const char *text),
                          void *owner, struct configuration_news *ret_news);
/* Takes up what needs a start, too; nobody may use the settings meanwhile. */
void configuration_start_anew(struct configuration *configuration);
/* Writes the file for the next start, when it would differ. */
MUST_CHECK bool configuration_save(struct configuration *configuration, struct err *err);
