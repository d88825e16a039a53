#!/bin/sh
# The kernel's PAGEMAP_SCAN reports pages as written that were never touched.
#
# Expected: PAGE_IS_WRITTEN means that the page was written to.
# Seen with Linux 6.18: in a mapping without userfaultfd, pages that are not present have PAGE_IS_WRITTEN and not PAGE_IS_PRESENT, if
# a neighbour in the same page table is present; so do pages that were returned by MADV_DONTNEED, and a page that was only read
# has both. The flag means "not write-protected by userfaultfd". The written pages are those that are present or swapped, and neither
# file pages nor the zero page.
# Needs a C compiler (cc), and Linux 6.7 or later.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
uname -sr
cat > scan.c <<'EOF'
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct scan { uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, any, returned; };
struct region { uint64_t start, end, categories; };
enum { WRITTEN = 1 << 1, PRESENT = 1 << 3, PAGES = 16, PAGE = 4096 };

int main(void) {
    char *memory = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
    memory[0] = memory[5 * PAGE] = memory[7 * PAGE] = 1;
    madvise(memory + 7 * PAGE, PAGE, MADV_DONTNEED);
    (void)*(volatile char *)(memory + 9 * PAGE);
    struct region regions[PAGES];
    struct scan scan = { .size = sizeof scan, .start = (uint64_t)memory, .end = (uint64_t)memory + PAGES * PAGE,
                         .vec = (uint64_t)regions, .vec_len = PAGES, .any = WRITTEN, .returned = WRITTEN | PRESENT };
    int found = ioctl(open("/proc/self/pagemap", O_RDONLY), _IOWR('f', 16, struct scan), &scan);
    for (int i = 0; i < found; i++)
        printf("%d-%d%s ", (int)((regions[i].start - (uint64_t)memory) / PAGE), (int)((regions[i].end - (uint64_t)memory) / PAGE),
               regions[i].categories & PRESENT ? "" : "(absent)");
    return 0;
}
EOF
cc -O1 -o scan scan.c
found=$(./scan)
[ "$found" = "0-1 1-5(absent) 5-6 6-9(absent) 9-10 10-16(absent) " ] || { echo "found $found" >&2; exit 1; }
echo "written, says the kernel: $found"
