/* Called by confd and felix when the first state of the cluster is in place. */
#include "lib/base/footprint.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The linker has written into segments that are not writable now: a fresh copy from the file would
 * lack that. No library of a distribution is built like this. */
static bool
has_text_relocations(const struct dl_phdr_info *object)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_DYNAMIC) {
            continue;
        }
        const ElfW(Dyn) *entry = (const void *)(object->dlpi_addr + segment->p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_TEXTREL ||
                (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL))) {
                return true;
            }
        }
    }
    return false;
}

/* Segments the linker may write to (relocated tables that are read-only later belong to one) are
 * left alone: what is in them is nowhere else. */
static int
drop_segments(struct dl_phdr_info *object, size_t size, void *owner)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)owner;
    if (has_text_relocations(object)) {
        return 0;
    }
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) {
            continue;
        }
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        /* A refusal (the vdso's) leaves things as they are. */
        (void)madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void
footprint_shrink(void)
{
    malloc_trim(0);
    dl_iterate_phdr(drop_segments, NULL);
}
