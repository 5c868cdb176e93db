/* The environment the runtime sets, checked as the specification demands. */
#include <ctype.h>
#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cni/plugin.h"
#include "lib/base/alloc.h"
#include "lib/base/str.h"

static const struct {
    const char *name;
    enum cni_verb verb;
    bool needs_container, needs_netns, needs_ifname;
} verbs[] = {
    {"ADD", CNI_ADD, true, true, true},          {"DEL", CNI_DEL, true, false, true},
    {"CHECK", CNI_CHECK, true, true, true},      {"GC", CNI_GC, false, false, false},
    {"STATUS", CNI_STATUS, false, false, false}, {"VERSION", CNI_VERSION, false, false, false}};

static const char *
variable(const char *name)
{
    const char *value = getenv(name);

    return value ? value : "";
}

static bool
is_container_id(const char *text)
{
    if (!isalnum((unsigned char)text[0]) || strlen(text) > 128) {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c)) {
            return false;
        }
    }
    return true;
}

static bool
is_ifname(const char *text)
{
    if (*text == '\0' || strlen(text) > 15 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '/' || *c == ':' || !isgraph((unsigned char)*c)) {
            return false;
        }
    }
    return true;
}

/* Pod and namespace names go into felix's messages and a hash; DNS names are all they can be. */
static bool
is_dns_name(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > 253) {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && !strchr("-.", *c)) {
            return false;
        }
    }
    return true;
}

static bool
read_args(struct cni_env *env, struct err *err)
{
    AUTO_FREE char *args = xstrdup(variable("CNI_ARGS"));
    char *save = NULL;

    for (char *item = strtok_r(args, ";", &save); item; item = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(item, '=');
        if (!equals) {
            return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_ARGS: '%.64s' is not KEY=VALUE", item);
        }
        *equals = '\0';
        const char *value = equals + 1;
        char **field = strcmp(item, "K8S_POD_NAME") == 0        ? &env->pod
                       : strcmp(item, "K8S_POD_NAMESPACE") == 0 ? &env->ns
                       : strcmp(item, "IP") == 0                ? &env->ip
                                                                : NULL;
        if (!field || *value == '\0') {
            continue;
        }
        if (field != &env->ip && !is_dns_name(value)) {
            return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_ARGS: %s: '%.64s' is not a name", item,
                            value);
        }
        free(*field);
        *field = xstrdup(value);
    }
    return true;
}

bool
cni_env_read(struct cni_env *ret_env, struct err *err)
{
    const char *command = variable("CNI_COMMAND");
    struct cni_env env = {.container_id = variable("CNI_CONTAINERID"),
                          .netns = variable("CNI_NETNS"),
                          .ifname = variable("CNI_IFNAME"),
                          .path = variable("CNI_PATH")};

    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(command, verbs[i].name) != 0) {
            continue;
        }
        env.verb = verbs[i].verb;
        if ((verbs[i].needs_container || *env.container_id) && !is_container_id(env.container_id)) {
            return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_CONTAINERID: '%.64s' is not acceptable",
                            env.container_id);
        }
        if ((verbs[i].needs_ifname || *env.ifname) && !is_ifname(env.ifname)) {
            return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_IFNAME: '%.64s' is not acceptable",
                            env.ifname);
        }
        if (verbs[i].needs_netns && *env.netns == '\0') {
            return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_NETNS is not set");
        }
        if (env.verb != CNI_VERSION && !read_args(&env, err)) {
            cni_env_done(&env);
            return false;
        }
        *ret_env = env;
        return true;
    }
    return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_COMMAND: '%.64s' is not known", command);
}

void
cni_env_done(struct cni_env *env)
{
    free(env->pod);
    free(env->ns);
    free(env->ip);
    env->pod = env->ns = env->ip = NULL;
}

void
cni_host_ifname(const struct cni_env *env, char ret_name[16])
{
    AUTO(str) struct str name = STR_INIT;
    char hex[SHA1_DIGEST_STRING_LENGTH];

    if (!env->pod || !env->ns) {
        snprintf(ret_name, 16, "cali%.11s", env->container_id);
        return;
    }
    str_addf(&name, "%s.%s", env->ns, env->pod);
    SHA1Data((const uint8_t *)name.text, name.len, hex);
    snprintf(ret_name, 16, "cali%.11s", hex);
}
