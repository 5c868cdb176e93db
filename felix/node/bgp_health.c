/* Counts BGP protocols in `show protocols`. */
#include "felix/node/bgp_health.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/bird/client.h"

#define ANSWER_MS 5000
#define CODE_PROTOCOL_LIST 1002

struct bgp_health {
    struct bird_client *client;
    char socket_path[256];
    bool is_asking;
    bool is_good;
    char reason[320];
};

static void
set_reason(struct bgp_health *health, bool is_good, const char *reason)
{
    health->is_good = is_good;
    snprintf(health->reason, sizeof health->reason, "%s", reason);
}

static void
on_state(void *owner, bool is_connected)
{
    struct bgp_health *health = owner;

    if (is_connected) {
        bgp_health_poll(health);
        return;
    }
    set_reason(health, false, "BIRD does not answer on its control socket");
}

struct bgp_health *
bgp_health_new(uv_loop_t *loop, const char *socket_path)
{
    struct bgp_health *health = NEW(struct bgp_health);

    snprintf(health->socket_path, sizeof health->socket_path, "%s", socket_path);
    set_reason(health, false, "BIRD was not asked yet");
    health->client = bird_client_new(loop, socket_path, on_state, health);
    return health;
}

void
bgp_health_free(struct bgp_health *health)
{
    if (health) {
        bird_client_free(health->client);
        free(health);
    }
}

static void
on_protocols(void *owner, const struct bird_reply *reply)
{
    struct bgp_health *health = owner;
    size_t n_peers = 0;
    size_t n_up = 0;
    char text[128];

    health->is_asking = false;
    if (bird_reply_class(reply) != BIRD_DONE) {
        set_reason(health, false, "BIRD does not answer on its control socket");
        return;
    }
    VEC_FOREACH (&reply->lines, line) {
        char kind[16] = "";
        if (line->code == CODE_PROTOCOL_LIST && sscanf(line->text, "%*s %15s", kind) == 1 &&
            strcmp(kind, "BGP") == 0) {
            n_peers++;
            n_up += strstr(line->text, "Established") != NULL;
        }
    }
    if (n_peers == 0 || n_up > 0) {
        set_reason(health, true, "");
        return;
    }
    snprintf(text, sizeof text, "none of %zu BGP peers is established", n_peers);
    set_reason(health, false, text);
}

void
bgp_health_poll(struct bgp_health *health)
{
    if (!health->is_asking && bird_client_is_connected(health->client)) {
        health->is_asking = true;
        bird_client_send(health->client, "show protocols", ANSWER_MS, on_protocols, health);
    }
}

bool
bgp_health_is_good(const struct bgp_health *health)
{
    return health->is_good;
}

const char *
bgp_health_reason(const struct bgp_health *health)
{
    return health->reason;
}
