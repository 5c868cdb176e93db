/* Settings of a program, one table: the same rows make the parser, --help and docs/settings.md.
 *
 * Precedence, highest first: flag (--name=value or --name value), environment, file (KEY=VALUE
 * lines,
 * '#' comments, [section] lines ignored; keys are names or environment names, any case), default.
 * A bad flag is an error. A bad value in environment or file is reported by name, and the next
 * lower source is used, so that one typo does not stop a node. "none" blanks a value, as in Calico.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum setting_type {
    SETTING_TEXT,     /* char *, owned by the target struct; never NULL */
    SETTING_BOOL,     /* bool */
    SETTING_U32,      /* uint32_t, within min..max */
    SETTING_DURATION, /* uint64_t milliseconds; bare numbers are seconds */
    SETTING_MILLIS,  /* uint64_t milliseconds; bare numbers are milliseconds (Calico's ...Millis) */
    SETTING_SECONDS, /* uint32_t seconds, within min..max; durations of whole seconds, too */
    SETTING_MASK,    /* uint32_t, decimal or 0x... */
    SETTING_CHOICE,  /* unsigned: index into choices; compared without case */
    SETTING_FLAG,    /* bool, command line only, takes no value */
};

struct setting {
    const char *name; /* as in FelixConfiguration: "IptablesRefreshInterval"; the flag is derived
                         from it: --iptables-refresh-interval */
    const char *env;  /* "FELIX_IPTABLESREFRESHINTERVAL"; NULL: no environment */
    enum setting_type type;
    size_t offset;              /* into the target struct */
    const char *initial;        /* default, as text */
    const char *const *choices; /* SETTING_CHOICE: NULL-terminated */
    uint32_t min, max;          /* SETTING_U32, _SECONDS; max 0 = UINT32_MAX */
    const char *help;           /* one sentence */
    const char *field; /* what the API calls it, where that is not the name in another case */
    unsigned effect;   /* bits of the program's own: what is to be done when the value changes while
                          the program runs; 0: it does not */
    bool is_local;     /* objects of the API may not set it, whatever the environment calls it */
    bool (*check)(const char *value, struct err *err); /* _TEXT, _MASK; NULL: anything */
};

struct settings_spec {
    const char *program;    /* "canal-felix" */
    const char *summary;    /* one line */
    const char *file_env;   /* environment variable that names the file; NULL: none */
    const char *file;       /* default file; read when it exists */
    const char *env_prefix; /* unknown variables with this prefix are reported; NULL: none */
    unsigned restarts;      /* the effect for which the program starts anew by itself */
    size_t given;           /* offset into the target: bool[n_rows], true for rows that a flag, the
                               environment or the file gave a value. 0: not kept */
    const struct setting *rows;
    size_t n_rows;
};

enum settings_outcome {
    SETTINGS_RUN,
    SETTINGS_EXIT_OK,
    SETTINGS_EXIT_BAD
};

/* Fills 'target'. Prints --help, --version and --help-markdown itself (SETTINGS_EXIT_OK). 'report'
 * gets one line for each value from environment or file that was not usable. */
MUST_CHECK enum settings_outcome settings_load(const struct settings_spec *spec, int argc,
                                               char *const argv[], void *target,
                                               void (*report)(const char *text));
/* Frees the texts of 'target'. */
void settings_done(const struct settings_spec *spec, void *target);
/* The row by its name, environment name or the API's field, in any case; false: there is none. */
bool settings_find(const struct settings_spec *spec, const char *name, size_t *ret_row);
/* True for rows that objects of the API may set: what the environment calls with the prefix, and
 * what has an effect. */
bool settings_is_from_api(const struct settings_spec *spec, const struct setting *row);
/* Copies between two targets; texts are duplicated. The target of settings_copy() is all zeros. */
void settings_copy(const struct settings_spec *spec, void *target, const void *source);
void settings_copy_row(const struct setting *row, void *target, const void *source);
bool settings_row_equal(const struct setting *row, const void *a, const void *b);
/* Sets one row by its name, for values that come from the API (FelixConfiguration). */
MUST_CHECK bool settings_set(const struct settings_spec *spec, void *target, const char *name,
                             const char *value, struct err *err);
