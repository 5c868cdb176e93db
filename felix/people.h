/* What people ask: see people.c. A part of felix; its files and felix.c, start.c and requests.c
 * include this. */
#pragma once

#include "felix/parts.h"
#include "felix/server/in_force.h"
#include "lib/model/pod.h"

struct json_object;

/* Before anything calculates; felix's loop, metrics and settings are there. */
struct people *people_new(struct felix *felix);
void people_stop(struct people *people); /* while the server still answers; the loop turns on */
void people_free(struct people *people); /* NULL is fine */
/* To be told by policies what is in force. */
struct in_force *people_in_force(const struct people *people);

/* PROTO_ENDPOINTS, PROTO_EXPLAIN, PROTO_DROPS, PROTO_POLICIES. */
void people_handle(struct people *people, uint64_t client, const struct proto_request *request);
void people_gone(void *felix, uint64_t client); /* a client of the server hung up */
void people_note_pod(struct people *people, const struct change *change);
/* At the start and every now and then: takes up settings, tries again what failed. */
void people_tick(struct people *people);
uint64_t people_n_drops(const struct people *people);

/* ---- between its files */
void people_explain(struct felix *felix, uint64_t client, const struct proto_explain *explain);
void people_send(struct felix *felix, uint64_t client, struct json_object *json); /* takes it */
void people_refuse(struct felix *felix, uint64_t client, int code, const char *reason);
/* The pod of the cluster with the address, one that has it for itself before hostNetwork ones.
 * Looks at every pod. */
const struct pod *people_find_pod(const struct felix *felix, const struct ip *ip);
bool people_has_host_endpoints(const struct felix *felix);
