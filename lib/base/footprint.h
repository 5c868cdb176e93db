/* Gives memory back to the kernel that only starting up took. */
#pragma once

/* Free pages of the heap, and the pages of program and libraries that were read while they were
 * linked and initialised: of libcurl and what it pulls in, nine tenths are never looked at again.
 * Those stay in the page cache and come back one by one when they are used. For once things have
 * settled; a millisecond or two. */
void footprint_shrink(void);
