/* Repeating strings stored once and known by a 32-bit id. Ids are dense from 1; 0 is "no string".
 * Counted: intern_ref() on an id taken again, intern_drop() gives it back for reuse at zero. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct intern;

struct intern *intern_new(void);
void intern_free(struct intern *intern);
/* The id of text[0..len), one reference more. */
uint32_t intern_take(struct intern *intern, const char *text, size_t len);
/* The id without a reference, 0 when the text is not known. */
uint32_t intern_find(const struct intern *intern, const char *text, size_t len);
void intern_ref(struct intern *intern, uint32_t id);
void intern_drop(struct intern *intern, uint32_t id);
const char *intern_text(const struct intern *intern, uint32_t id); /* "" for 0; borrowed */
size_t intern_count(const struct intern *intern);
