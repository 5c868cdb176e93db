/* EndpointSlices by the service they belong to, and the sets of addresses (and ports) behind those
 * services that rules name. */
#pragma once

#include "felix/policy.h"
#include "lib/model/store.h"

struct services;

struct services_spec {
    /* A member more or less of the set given to services_attach(). */
    void (*on_member)(void *owner, void *set, const struct policy_set_member *member,
                      bool is_added);
    void *owner;
};

struct services *services_new(const struct services_spec *spec);
void services_free(struct services *services);                              /* without calls */
void services_note(struct services *services, const struct change *change); /* EndpointSlice */
/* Tells all members there are; 'set' is told about until it is detached. One set for each service
 * and value of 'with_ports'. */
void services_attach(struct services *services, const char *ns, const char *name, bool with_ports,
                     void *set);
void services_detach(struct services *services, const char *ns, const char *name, bool with_ports);
