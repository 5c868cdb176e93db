/* Another plugin that does the addresses: found in CNI_PATH, started with our environment and
 * configuration, its answer read. */
#pragma once

#include "cni/plugin.h"

/* 'command' is ADD, DEL, CHECK, GC or STATUS. ADD fills the attachment's addresses,
 * routes and dns, as the other plugin lists them. A failure has its code and text. */
MUST_CHECK bool delegate_run(const struct cni_env *env, const struct cni_config *config,
                             const char *command, struct cni_attachment *ret_attachment,
                             struct err *err);
