/* canal, the CNI plugin: environment, configuration, verb, answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cni/plugin.h"
#include "cni/result.h"

static bool
run(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    switch (env->verb) {
    case CNI_ADD:
        return verb_add(env, config, err);
    case CNI_DEL:
        return verb_del(env, config, err);
    case CNI_CHECK:
        return verb_check(env, config, err);
    case CNI_GC:
    case CNI_STATUS:
        if (strcmp(config->version, "1.1.0") != 0) {
            return err_code(err, CNI_BAD_VERSION, "GC and STATUS came with 1.1.0; this is %s",
                            config->version);
        }
        return env->verb == CNI_GC ? verb_gc(env, config, err) : verb_status(env, config, err);
    case CNI_VERSION:
        break;
    }
    return true;
}

int
main(void)
{
    struct cni_env env = {0};
    struct cni_config config = {0};
    struct err err = ERR_INIT;

    if (!getenv("CNI_COMMAND")) {
        /* Install scripts probe plugins this way. */
        fprintf(stderr,
                "canal %s: CNI plugin, protocol versions 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
                CANAL_VERSION);
        return EXIT_SUCCESS;
    }
    bool good = cni_env_read(&env, &err);
    if (good && env.verb == CNI_VERSION) {
        result_print_versions();
        cni_env_done(&env);
        return EXIT_SUCCESS;
    }
    good = good && cni_config_read(&config, &err) && run(&env, &config, &err);
    if (!good) {
        result_print_error(config.version, &err);
    }
    cni_config_done(&config);
    cni_env_done(&env);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
