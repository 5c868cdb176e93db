/* The node's name. Called by felix/start.c, before anything is listed. */
#include "felix/node/node_name.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

bool
node_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > 253 || !isalnum((unsigned char)name[0]) ||
        !isalnum((unsigned char)name[len - 1])) {
        return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.') {
            return false;
        }
    }
    return true;
}

static char *
trimmed(const char *text, bool lower)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        len--;
    }
    char *copy = xstrndup(text, len);
    for (char *c = copy; lower && *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return copy;
}

bool
node_name_find(const char *setting, const char *state_dir, char **ret_name, struct err *err)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str stored = STR_INIT;
    char host[256] = "";
    char *name = trimmed(setting, false);

    str_addf(&path, "%s/nodename", state_dir);
    if (*name == '\0' && file_read(path.text, 4096, &stored, NULL)) {
        free(name);
        name = trimmed(str_text(&stored), false);
    }
    if (*name == '\0') {
        const char *variable = getenv("HOSTNAME");
        if (!variable || *variable == '\0') {
            gethostname(host, sizeof host - 1);
            variable = host;
        }
        free(name);
        name = trimmed(variable, true);
    }
    if (!node_name_is_valid(name)) {
        bool result = err_set(err, "'%.64s' is not a node name; set NODENAME", name);
        free(name);
        return result;
    }
    *ret_name = name;
    return true;
}
