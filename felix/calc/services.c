/* Services as rules know them: not ready endpoints count, a slice without ports stands for no port,
 * and what a Service object says does not matter. Used by set_pool.c. */
#include "felix/calc/services.h"

#include <stdlib.h>

#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/model/endpoint_slice.h"

struct service {
    char *key; /* "namespace/name" */
    VEC(const struct endpoint_slice *) slices;
    void *sets[2]; /* by with_ports; NULL: no rule names it */
};

struct services {
    struct services_spec spec;
    struct table *by_key;
};

struct services *
services_new(const struct services_spec *spec)
{
    struct services *services = NEW(struct services);

    services->spec = *spec;
    services->by_key = table_new();
    return services;
}

static void
service_free(void *value)
{
    struct service *service = value;

    VEC_DONE(&service->slices);
    free(service->key);
    free(service);
}

void
services_free(struct services *services)
{
    if (services != NULL) {
        table_free(services->by_key, service_free);
        free(services);
    }
}

static struct service *
service_get(struct services *services, const char *ns, const char *name)
{
    AUTO(str) struct str key = STR_INIT;

    str_addf(&key, "%s/%s", ns, name);
    struct service *service = table_get(services->by_key, key.text);
    if (service == NULL) {
        service = NEW(struct service);
        service->key = str_steal(&key);
        table_put(services->by_key, service->key, service);
    }
    return service;
}

static void
service_put_away(struct services *services, struct service *service)
{
    if (service->slices.n == 0 && service->sets[0] == NULL && service->sets[1] == NULL) {
        table_take(services->by_key, service->key);
        service_free(service);
    }
}

static void
tell_slice(const struct services *services, void *set, const struct endpoint_slice *slice,
           bool with_ports, bool is_added)
{
    for (size_t i = 0; i < slice->n_ips; i++) {
        struct policy_set_member member = {.prefix = prefix_of_ip(&slice->ips[i])};
        if (!with_ports) {
            services->spec.on_member(services->spec.owner, set, &member, is_added);
        }
        for (size_t k = 0; with_ports && k < slice->n_ports; k++) {
            member.protocol = slice->ports[k].protocol;
            member.port = slice->ports[k].port;
            services->spec.on_member(services->spec.owner, set, &member, is_added);
        }
    }
}

static void
tell_sets(const struct services *services, const struct service *service,
          const struct endpoint_slice *slice, bool is_added)
{
    for (size_t with_ports = 0; with_ports < 2; with_ports++) {
        if (service->sets[with_ports] != NULL) {
            tell_slice(services, service->sets[with_ports], slice, with_ports, is_added);
        }
    }
}

static void
slice_out(struct services *services, const struct endpoint_slice *slice)
{
    struct service *service = service_get(services, slice->ns, slice->service);

    for (size_t i = 0; i < service->slices.n; i++) {
        if (service->slices.items[i] == slice) {
            VEC_REMOVE_SWAP(&service->slices, i);
            tell_sets(services, service, slice, false);
            break;
        }
    }
    service_put_away(services, service);
}

void
services_note(struct services *services, const struct change *change)
{
    const struct endpoint_slice *was = change->was, *now = change->now;

    if (now != NULL && now->service != NULL) {
        struct service *service = service_get(services, now->ns, now->service);
        VEC_PUSH(&service->slices, now);
        tell_sets(services, service, now, true);
    }
    if (was != NULL && was->service != NULL) {
        slice_out(services, was);
    }
}

void
services_attach(struct services *services, const char *ns, const char *name, bool with_ports,
                void *set)
{
    struct service *service = service_get(services, ns, name);

    service->sets[with_ports] = set;
    VEC_FOREACH (&service->slices, it) {
        tell_slice(services, set, *it, with_ports, true);
    }
}

void
services_detach(struct services *services, const char *ns, const char *name, bool with_ports)
{
    struct service *service = service_get(services, ns, name);

    service->sets[with_ports] = NULL;
    service_put_away(services, service);
}
