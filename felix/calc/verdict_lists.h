/* What applies to endpoints, as lists; equal lists are one, however many endpoints have it. */
#pragma once

#include "felix/calc/active_policies.h"

struct verdict_lists;

struct verdict_lists_spec {
    void (*list)(void *owner, const struct verdict_list *list, bool is_active);
    void *owner;
};

struct verdict_lists *verdict_lists_new(const struct verdict_lists_spec *spec);
void verdict_lists_free(struct verdict_lists *lists);

struct verdict_question {
    const struct applied_policy *applied; /* as active_policies_of() gives them */
    size_t n_applied;
    bool is_host;
    bool is_any_interface; /* a host's "*": untracked policies do not work for it */
    bool is_profile_allow;
};
/* All lists of an endpoint; NULL where nothing is looked at. One user more of each. */
struct verdict_answer {
    const struct verdict_list *lists[N_USES][N_DIRECTIONS];
};
void verdict_lists_take(struct verdict_lists *lists, const struct verdict_question *question,
                        struct verdict_answer *ret_answer);
/* The same lists once more, without asking. */
void verdict_lists_take_again(struct verdict_lists *lists, const struct verdict_answer *answer);
void verdict_lists_drop(struct verdict_lists *lists, const struct verdict_answer *answer);

/* New lists; lists without users. */
void verdict_lists_tell_added(struct verdict_lists *lists);
void verdict_lists_tell_removed(struct verdict_lists *lists);

const struct verdict_list *verdict_lists_by_id(const struct verdict_lists *lists, const char *id);
void verdict_lists_each(const struct verdict_lists *lists,
                        void (*each)(void *owner, const struct verdict_list *list), void *owner);

struct verdict_lists_stats {
    size_t n_lists;
    uint64_t n_built; /* work done, ever */
};
struct verdict_lists_stats verdict_lists_stats(const struct verdict_lists *lists);
