/* --help, --help-markdown and --version from the settings table. */
#include "lib/settings/help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

char *
settings_flag_name(const char *name)
{
    struct str flag = STR_INIT;

    for (const char *c = name; *c != '\0'; c++) {
        bool upper = isupper((unsigned char)*c);
        bool after_lower =
            c > name && !isupper((unsigned char)c[-1]) && c[-1] != '_' && c[-1] != '-';
        bool before_lower =
            c > name && islower((unsigned char)c[1]) && islower((unsigned char)c[2]) &&
            isupper((unsigned char)c[-1]); /* a word, not the end of "IPs" or "IPv6" */
        if (upper && (after_lower || before_lower)) {
            str_add_char(&flag, '-');
        }
        str_add_char(&flag, *c == '_' ? '-' : (char)tolower((unsigned char)*c));
    }
    return str_steal(&flag);
}

static void
add_kind(struct str *out, const struct setting *row)
{
    switch (row->type) {
    case SETTING_TEXT:
        str_add(out, "text");
        break;
    case SETTING_BOOL:
    case SETTING_FLAG:
        str_add(out, "true or false");
        break;
    case SETTING_U32:
        str_addf(out, "%u-%u", row->min, row->max ? row->max : UINT32_MAX);
        break;
    case SETTING_DURATION:
        str_add(out, "duration");
        break;
    case SETTING_MILLIS:
        str_add(out, "milliseconds");
        break;
    case SETTING_SECONDS:
        str_addf(out, "%u-%u seconds", row->min, row->max ? row->max : UINT32_MAX);
        break;
    case SETTING_MASK:
        str_add(out, "bits, 0x... or a number");
        break;
    case SETTING_CHOICE:
        for (unsigned i = 0; row->choices[i]; i++) {
            str_addf(out, "%s%s", i ? ", " : "", row->choices[i]);
        }
        break;
    }
}

static void
print_help(const struct settings_spec *spec)
{
    printf("%s - %s\n\nUsage: %s [--setting=value]...\n\n", spec->program, spec->summary,
           spec->program);
    for (size_t i = 0; i < spec->n_rows; i++) {
        const struct setting *row = &spec->rows[i];
        AUTO_FREE char *flag = settings_flag_name(row->name);
        AUTO(str) struct str kind = STR_INIT;
        add_kind(&kind, row);
        printf("  --%s%s\n", flag, row->type == SETTING_FLAG ? "" : "=...");
        printf("      %s\n", row->help);
        if (row->type != SETTING_FLAG) {
            printf("      %s; default '%s'%s%s\n", str_text(&kind), row->initial,
                   row->env ? "; environment " : "", row->env ? row->env : "");
        }
    }
    if (spec->file_env || spec->file) {
        printf("\nSettings file (KEY=VALUE lines): %s%s%s\n", spec->file ? spec->file : "none",
               spec->file_env ? ", or what the environment names in " : "",
               spec->file_env ? spec->file_env : "");
    }
}

/* When a value from the API is taken up. */
static const char *
api_column(const struct settings_spec *spec, const struct setting *row)
{
    if (!spec->given) {
        return "";
    }
    if (!settings_is_from_api(spec, row)) {
        return " - |";
    }
    return row->effect & spec->restarts ? " felix starts anew |" : " at once |";
}

static void
print_markdown(const struct settings_spec *spec)
{
    printf("## %s\n\n%s.\n\n", spec->program, spec->summary);
    printf("| setting | environment | values | default |%s meaning |\n|---|---|---|---|%s---|\n",
           spec->given ? " from the API |" : "", spec->given ? "---|" : "");
    for (size_t i = 0; i < spec->n_rows; i++) {
        const struct setting *row = &spec->rows[i];
        AUTO_FREE char *flag = settings_flag_name(row->name);
        AUTO(str) struct str kind = STR_INIT;
        add_kind(&kind, row);
        printf("| %s (`--%s`) | %s%s%s | %s | %s%s%s |%s %s |\n", row->name, flag,
               row->env ? "`" : "", row->env ? row->env : "-", row->env ? "`" : "", str_text(&kind),
               *row->initial ? "`" : "", *row->initial ? row->initial : "-",
               *row->initial ? "`" : "", api_column(spec, row), row->help);
    }
    printf("\n");
}

bool
settings_help(const struct settings_spec *spec, const char *arg)
{
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        print_help(spec);
    } else if (strcmp(arg, "--help-markdown") == 0) {
        print_markdown(spec);
    } else if (strcmp(arg, "--version") == 0 || strcmp(arg, "-v") == 0) {
        printf("%s %s\n", spec->program, CANAL_VERSION);
    } else {
        return false;
    }
    return true;
}
