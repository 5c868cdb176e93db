/* A table of members, open-addressed and compact: one set may hold every pod of the cluster.
 * Whether an address is inside is asked prefix length by prefix length, of those in use. Used by
 * set_pool.c. */
#include "felix/calc/members.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/hash.h"

#define N_LENGTHS 129

/* family 0: free. */
struct member_slot {
    uint8_t bytes[16];
    uint32_t n_refs;
    uint16_t port;
    uint8_t family;
    uint8_t len;
    uint8_t protocol;
    bool is_told : 1;    /* the owner believes that it is in the set */
    bool is_touched : 1; /* among the touched */
};

void
members_init(struct members *members)
{
    *members = (struct members){0};
}

void
members_done(struct members *members)
{
    free(members->slots);
    free(members->n_by_len);
    VEC_DONE(&members->touched);
    members_init(members);
}

/* ---- the table --------------------------------------------------------------------------------
 */

static size_t
hash_of(const struct member_slot *slot)
{
    uint8_t key[21];

    memcpy(key, slot->bytes, 16);
    key[16] = slot->family;
    key[17] = slot->len;
    key[18] = slot->protocol;
    memcpy(key + 19, &slot->port, 2);
    return (size_t)hash_bytes(key, sizeof key);
}

static struct member_slot
slot_of(const struct policy_set_member *member)
{
    struct member_slot slot = {.family = member->prefix.ip.family,
                               .len = member->prefix.len,
                               .protocol = member->protocol,
                               .port = member->port};

    memcpy(slot.bytes, member->prefix.ip.bytes, sizeof slot.bytes);
    return slot;
}

static bool
is_same(const struct member_slot *a, const struct member_slot *b)
{
    return a->family == b->family && a->len == b->len && a->protocol == b->protocol &&
           a->port == b->port && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* The slot with the key, or the free one where it would go; needs n_slots > 0. */
static struct member_slot *
locate(const struct members *members, const struct member_slot *key)
{
    size_t mask = members->n_slots - 1;
    size_t at = hash_of(key) & mask;

    while (members->slots[at].family != 0 && !is_same(&members->slots[at], key)) {
        at = (at + 1) & mask;
    }
    return &members->slots[at];
}

/* NULL when it is not there. */
static struct member_slot *
find(const struct members *members, const struct member_slot *key)
{
    struct member_slot *slot = members->n_slots > 0 ? locate(members, key) : NULL;

    return slot != NULL && slot->family != 0 ? slot : NULL;
}

static void
grow(struct members *members)
{
    struct member_slot *old = members->slots;
    size_t n_old = members->n_slots;

    members->n_slots = n_old > 0 ? n_old * 2 : 4;
    members->slots = xcalloc(members->n_slots, sizeof *members->slots);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].family != 0) {
            *locate(members, &old[i]) = old[i];
        }
    }
    free(old);
}

static struct member_slot *
find_or_make(struct members *members, const struct member_slot *key)
{
    if ((members->n_used + 1) * 4 > members->n_slots * 3) {
        grow(members);
    }
    struct member_slot *slot = locate(members, key);
    if (slot->family == 0) {
        *slot = *key;
        members->n_used++;
    }
    return slot;
}

/* Later ones of the probe chain move up, so that no hole cuts it. */
static void
vacate(struct members *members, struct member_slot *slot)
{
    size_t mask = members->n_slots - 1;
    size_t hole = (size_t)(slot - members->slots), at = hole;

    members->n_used--;
    for (;;) {
        members->slots[hole].family = 0;
        do {
            at = (at + 1) & mask;
            if (members->slots[at].family == 0) {
                return;
            }
            /* One may move to the hole unless its home lies behind the hole on the way here. */
        } while (((at - hash_of(&members->slots[at])) & mask) < ((at - hole) & mask));
        members->slots[hole] = members->slots[at];
        hole = at;
    }
}

/* ---- changes ----------------------------------------------------------------------------------
 */

static void
count_length(struct members *members, const struct member_slot *slot, bool is_added)
{
    bool is_v6 = slot->family == 6;

    members->n = is_added ? members->n + 1 : members->n - 1;
    if (slot->len == (is_v6 ? 128 : 32)) {
        return;
    }
    if (members->n_by_len == NULL) {
        members->n_by_len = xcalloc((size_t)2 * N_LENGTHS, sizeof *members->n_by_len);
    }
    uint32_t *count = &members->n_by_len[(is_v6 ? N_LENGTHS : 0) + slot->len];
    *count = is_added ? *count + 1 : *count - 1;
}

static void
touch(struct members *members, struct member_slot *slot, const struct policy_set_member *member)
{
    if (!slot->is_touched) {
        slot->is_touched = true;
        VEC_PUSH(&members->touched, *member);
    }
}

void
members_add(struct members *members, const struct policy_set_member *member)
{
    const struct member_slot key = slot_of(member);
    struct member_slot *slot = find_or_make(members, &key);

    if (slot->n_refs++ == 0) {
        count_length(members, slot, true);
        touch(members, slot, member);
    }
}

void
members_remove(struct members *members, const struct policy_set_member *member)
{
    const struct member_slot key = slot_of(member);
    struct member_slot *slot = find(members, &key);

    if (slot != NULL && slot->n_refs > 0 && --slot->n_refs == 0) {
        count_length(members, slot, false);
        touch(members, slot, member);
    }
}

void
members_tell_added(struct members *members, member_fn tell, void *owner)
{
    VEC_FOREACH (&members->touched, member) {
        const struct member_slot key = slot_of(member);
        struct member_slot *slot = find(members, &key);
        if (slot != NULL && slot->n_refs > 0 && !slot->is_told) {
            slot->is_told = true;
            tell(owner, member, true);
        }
    }
}

void
members_tell_removed(struct members *members, member_fn tell, void *owner)
{
    VEC_FOREACH (&members->touched, member) {
        const struct member_slot key = slot_of(member);
        struct member_slot *slot = find(members, &key);
        if (slot == NULL) {
            continue;
        }
        slot->is_touched = false;
        if (slot->n_refs == 0) {
            bool was_told = slot->is_told;
            vacate(members, slot);
            if (was_told) {
                tell(owner, member, false);
            }
        }
    }
    VEC_DONE(&members->touched);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static bool
is_in_force(const struct members *members, const struct policy_set_member *member)
{
    const struct member_slot key = slot_of(member);
    const struct member_slot *slot = find(members, &key);

    return slot != NULL && slot->n_refs > 0;
}

bool
members_hold(const struct members *members, const struct policy_set_member *member)
{
    struct policy_set_member wider = *member;
    size_t first = member->prefix.ip.family == 6 ? N_LENGTHS : 0;

    if (is_in_force(members, member)) {
        return true;
    }
    for (uint8_t len = member->prefix.len; members->n_by_len != NULL && len-- > 0;) {
        if (members->n_by_len[first + len] > 0) {
            wider.prefix = prefix_network(&(struct prefix){.ip = member->prefix.ip, .len = len});
            if (is_in_force(members, &wider)) {
                return true;
            }
        }
    }
    return false;
}
