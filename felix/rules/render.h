/* Pieces of rules that several files of felix/rules write. Texts start with a blank, so that they
 * can be put one behind another; see rule_add(). */
#pragma once

#include "felix/rules/drop_tag.h"
#include "felix/rules/policy_rules.h"
#include "lib/base/str.h"

/* "-j MARK": sets and clears bits. */
void render_set_mark(struct str *out, uint32_t set, uint32_t clear);
/* "-m mark": all bits of 'set' are set and all of 'clear' are not. */
void render_match_mark(struct str *out, uint32_t set, uint32_t clear);
/* The bit, or one of those that an earlier mask had for it. */
void render_match_either(struct str *out, uint32_t bit, uint32_t also);
/* A connection that felix refuses. */
void render_match_refused(struct str *out, const struct policy_marks *marks);
void render_limit(struct str *out, const struct rate_limit *limit);
/* "-j NFLOG" with limit. Only with config->nflog_group. */
void render_nflog(struct str *out, const struct policy_rules_config *config,
                  const struct drop_tag *tag);
/* "-j DROP", or "-j REJECT" in the filter table where that is the setting. */
const char *render_deny(const struct policy_rules_config *config, const char *table);
const char *render_action(enum rules_action action); /* " -j ACCEPT", ... */
/* A comment, harmless and cut to what the kernel takes. */
void render_comment(struct str *out, const char *text);
/* Quoted text that needs no escapes, at most 'max' characters of it. */
void render_quoted(struct str *out, const char *text, size_t max);
/* One rule of the parts, without the first blank. */
void rule_add(struct chain *chain, const char *match, const char *target);
/* NFLOG where that is on, then 'target'; 'match' goes in front of both. */
void rule_add_deny(struct chain *chain, const struct policy_rules_config *config, const char *match,
                   const struct drop_tag *tag, const char *target);
