/* The CNI plugin's environment: lines of the input are CNI_ARGS, container ID and interface name.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cni/plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"CNI_ARGS", "CNI_CONTAINERID", "CNI_IFNAME"};
    /* An environment of our own: setenv() keeps every value it was ever given. */
    static char values[3][4200], command[] = "CNI_COMMAND=ADD", netns[] = "CNI_NETNS=/x";
    static char *ours[] = {values[0], values[1], values[2], command, netns, NULL};
    char text[4096];
    char *rest = text;
    struct cni_env env;
    struct err err = ERR_INIT;
    char ifname[16];

    if (size >= sizeof text) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < 3; i++) {
        const char *line = rest ? strsep(&rest, "\n") : "x";
        snprintf(values[i], sizeof values[i], "%s=%s", names[i], line);
    }
    environ = ours;
    if (!cni_env_read(&env, &err)) {
        if (err.code != CNI_BAD_ENVIRONMENT || err.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    /* They become names of files and links. */
    if (strpbrk(env.container_id, "/ \n") || strpbrk(env.ifname, "/ \n") ||
        strcmp(env.container_id, "..") == 0) {
        abort();
    }
    cni_host_ifname(&env, ifname);
    if (strlen(ifname) > 15 || strncmp(ifname, "cali", 4) != 0) {
        abort();
    }
    cni_env_done(&env);
    return 0;
}
