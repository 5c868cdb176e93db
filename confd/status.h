/* What BIRD says about its peers: `show protocols all`, parsed, as metrics and as readiness. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bird_reply;
struct health;
struct metrics;
struct status;

struct bgp_session {
    char *name;  /* of the BIRD protocol */
    char *state; /* "Established", "Active", ... ; "" while BIRD did not say */
    bool is_established;
    uint32_t n_imported; /* routes, all channels */
    uint32_t n_exported;
};

struct bgp_status {
    struct bgp_session *sessions;
    size_t n;
    size_t n_established;
};

/* Pure. Whatever is not a BGP protocol is passed over, unknown lines too. */
void bgp_status_parse(const struct bird_reply *reply, struct bgp_status *ret_status);
void bgp_status_done(struct bgp_status *status);

/* Borrows both. */
struct status *status_new(struct metrics *metrics, struct health *health, uint64_t start_grace_ms);
void status_free(struct status *status);
/* The configuration runs, or why not. */
void status_loaded(struct status *status, bool is_loaded, const char *reason);
/* An answer to `show protocols all`, at loop time 'now_ms'. True when all sessions are up. */
bool status_take(struct status *status, const struct bird_reply *reply, uint64_t now_ms);
