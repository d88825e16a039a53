// Markdown to HTML: reads files, or standard input, and writes HTML to standard output.
//
// It knows headings, paragraphs, emphasis, code, links, images, lists, quotes, tables and rules, as most people
// use them; not every corner of CommonMark. HTML in the input is escaped, never passed on.
//
// Two passes over each piece of text: `blocks` divides lines into blocks and calls itself for what stands
// inside quotes and lists; `inlines` writes the text of a block.

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A piece of the input. Never owned, never changed.
typedef struct {
    const char *at;
    size_t len;
} Text;

typedef struct {
    Text *line;
    size_t count, room;
} Lines;

enum { TAB = 4, INDENTED_CODE = 4, MAX_DEPTH = 64 };

static void blocks(const Lines *lines, bool tight, int depth);
static void inlines(Text t, int depth);

static void fail(const char *what, const char *why) {
    fflush(stdout);
    fprintf(stderr, "markdown: %s: %s\n", what, why);
    exit(1);
}

// ---- pieces of text ------------------------------------------------------------------------------------

static Text slice(Text t, size_t from, size_t to) {
    if (to > t.len) to = t.len;
    if (from > to) from = to;
    return (Text){t.at + from, to - from};
}

static Text trim_end(Text t) {
    while (t.len && isspace((unsigned char)t.at[t.len - 1])) t.len--;
    return t;
}

static Text trim(Text t) {
    t = trim_end(t);
    while (t.len && isspace((unsigned char)t.at[0])) t.at++, t.len--;
    return t;
}

static bool is_blank(Text t) { return trim(t).len == 0; }

static size_t indent_of(Text t) {
    size_t n = 0;
    while (n < t.len && t.at[n] == ' ') n++;
    return n;
}

static size_t run_of(Text t, size_t from, char c) {
    size_t n = 0;
    while (from + n < t.len && t.at[from + n] == c) n++;
    return n;
}

static void push(Lines *lines, Text t) {
    if (lines->count == lines->room) {
        lines->room = lines->room ? lines->room * 2 : 16;
        lines->line = realloc(lines->line, lines->room * sizeof(Text));
        if (!lines->line) fail("input", "out of memory");
    }
    lines->line[lines->count++] = t;
}

// ---- output --------------------------------------------------------------------------------------------

static void put(const char *s) { fputs(s, stdout); }

static void put_escaped(Text t) {
    for (size_t i = 0; i < t.len; i++) {
        switch (t.at[i]) {
        case '<': put("&lt;"); break;
        case '>': put("&gt;"); break;
        case '&': put("&amp;"); break;
        case '"': put("&quot;"); break;
        default: putchar(t.at[i]);
        }
    }
}

// A heading's words in lower case, joined by hyphens: what links to it use.
static void put_slug(Text t) {
    bool gap = false, any = false;
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (isalnum(c) || c >= 0x80 || c == '_') {
            if (gap && any) putchar('-');
            putchar(c < 0x80 ? tolower(c) : c);
            gap = false, any = true;
        } else if (c == ' ' || c == '-') {
            gap = true;
        }
    }
}

// ---- text of a block -----------------------------------------------------------------------------------

// Where a code span that starts with `ticks` backticks at `from` ends, or 0.
static size_t code_end(Text t, size_t from, size_t ticks) {
    for (size_t i = from + ticks; i < t.len; i++) {
        size_t n = run_of(t, i, '`');
        if (n == ticks) return i;
        if (n) i += n - 1;
    }
    return 0;
}

// The bracket that closes the one before `from`, or 0.
static size_t bracket_end(Text t, size_t from, char open, char close) {
    int depth = 1;
    for (size_t i = from; i < t.len; i++) {
        if (t.at[i] == '\\') {
            i++;
        } else if (t.at[i] == '`') {
            size_t ticks = run_of(t, i, '`'), end = code_end(t, i, ticks);
            i = end ? end + ticks - 1 : i + ticks - 1;
        } else if (t.at[i] == open) {
            depth++;
        } else if (t.at[i] == close && --depth == 0) {
            return i;
        }
    }
    return 0;
}

static bool is_word(Text t, size_t i) { return i < t.len && isalnum((unsigned char)t.at[i]); }
static bool is_space(Text t, size_t i) { return i >= t.len || isspace((unsigned char)t.at[i]); }

// Where emphasis by `n` marks that opened before `from` closes, or 0.
static size_t emphasis_end(Text t, size_t from, char mark, size_t n) {
    for (size_t i = from; i < t.len; i++) {
        if (t.at[i] == '\\') {
            i++;
        } else if (t.at[i] == '`') {
            size_t ticks = run_of(t, i, '`'), end = code_end(t, i, ticks);
            i = end ? end + ticks - 1 : i + ticks - 1;
        } else if (t.at[i] == mark) {
            size_t run = run_of(t, i, mark);
            bool closes = i > from && !is_space(t, i - 1) && (mark == '*' || !is_word(t, i + run));
            if (closes && (run == n || run >= 3)) return i;
            i += run - 1;
        }
    }
    return 0;
}

// `[text](target "title")`, with `from` after the first bracket. Returns the end, or 0 if it is none.
static size_t link(Text t, size_t from, bool image, int depth) {
    size_t close = bracket_end(t, from, '[', ']');
    if (!close || close + 1 >= t.len || t.at[close + 1] != '(') return 0;
    size_t end = bracket_end(t, close + 2, '(', ')');
    if (!end) return 0;
    Text text = slice(t, from, close), target = trim(slice(t, close + 2, end)), title = {0};
    size_t space = 0;
    while (space < target.len && !isspace((unsigned char)target.at[space])) space++;
    if (space < target.len) {
        title = trim(slice(target, space, target.len));
        target = slice(target, 0, space);
        bool quoted = title.len >= 2 && (title.at[0] == '"' || title.at[0] == '\'');
        if (!quoted || title.at[title.len - 1] != title.at[0]) return 0;
        title = slice(title, 1, title.len - 1);
    }
    if (target.len >= 2 && target.at[0] == '<') target = slice(target, 1, target.len - 1);
    put(image ? "<img src=\"" : "<a href=\"");
    // A page should not run a script because somebody clicks in a text.
    bool script = target.len >= 11 && !strncasecmp(target.at, "javascript:", 11);
    if (!script) put_escaped(target);
    if (image) put("\" alt=\""), put_escaped(text);
    if (title.len) put("\" title=\""), put_escaped(title);
    put("\">");
    if (!image) inlines(text, depth + 1), put("</a>");
    return end + 1;
}

// `<https://…>` or `<a@b.c>`, with `from` after the bracket. Returns the end, or 0.
static size_t autolink(Text t, size_t from) {
    size_t end = from;
    while (end < t.len && t.at[end] != '>' && !isspace((unsigned char)t.at[end])) end++;
    if (end >= t.len || t.at[end] != '>') return 0;
    Text target = slice(t, from, end);
    bool web = (target.len > 8 && !memcmp(target.at, "https://", 8)) || (target.len > 7 && !memcmp(target.at, "http://", 7));
    bool mail = !web && target.len > 2 && memchr(target.at, '@', target.len);
    if (!web && !mail) return 0;
    put(mail ? "<a href=\"mailto:" : "<a href=\"");
    put_escaped(target);
    put("\">");
    put_escaped(target);
    put("</a>");
    return end + 1;
}

// `&name;` or `&#123;`. Returns its length, or 0.
static size_t entity(Text t, size_t from) {
    size_t i = from + 1;
    if (i < t.len && t.at[i] == '#') i++;
    size_t first = i;
    while (i < t.len && i - first < 32 && isalnum((unsigned char)t.at[i])) i++;
    return i > first && i < t.len && t.at[i] == ';' ? i + 1 - from : 0;
}

// Emphasis that starts at `i` with `n` marks. Returns its end, or 0.
static size_t emphasis(Text t, size_t i, int depth) {
    char mark = t.at[i];
    size_t n = run_of(t, i, mark);
    if (n > 3 || is_space(t, i + n) || (mark == '_' && i && is_word(t, i - 1))) return 0;
    for (size_t marks = n; marks > 0; marks--) {
        size_t end = emphasis_end(t, i + marks, mark, marks);
        if (!end) continue;
        put(marks == 1 ? "<em>" : marks == 2 ? "<strong>" : "<em><strong>");
        inlines(slice(t, i + marks, end), depth + 1);
        put(marks == 1 ? "</em>" : marks == 2 ? "</strong>" : "</strong></em>");
        return end + marks;
    }
    return 0;
}

static void code_span(Text code) {
    if (code.len > 2 && code.at[0] == ' ' && code.at[code.len - 1] == ' ') code = slice(code, 1, code.len - 1);
    put("<code>");
    put_escaped(code);
    put("</code>");
}

static void inlines(Text t, int depth) {
    if (depth > MAX_DEPTH) {
        put_escaped(t);
        return;
    }
    for (size_t i = 0, end; i < t.len;) {
        char c = t.at[i];
        if (c == '\\' && i + 1 < t.len && ispunct((unsigned char)t.at[i + 1])) {
            put_escaped(slice(t, i + 1, i + 2));
            i += 2;
        } else if (c == '\\' && i + 1 < t.len && t.at[i + 1] == '\n') {
            put("<br>");
            i++;
        } else if (c == '`') {
            size_t ticks = run_of(t, i, '`');
            if ((end = code_end(t, i, ticks))) {
                code_span(slice(t, i + ticks, end));
                i = end + ticks;
            } else {
                put_escaped(slice(t, i, i + ticks));
                i += ticks;
            }
        } else if ((c == '*' || c == '_') && (end = emphasis(t, i, depth))) {
            i = end;
        } else if (c == '*' || c == '_') {
            size_t n = run_of(t, i, c);
            put_escaped(slice(t, i, i + n));
            i += n;
        } else if (c == '!' && i + 1 < t.len && t.at[i + 1] == '[' && (end = link(t, i + 2, true, depth))) {
            i = end;
        } else if (c == '[' && (end = link(t, i + 1, false, depth))) {
            i = end;
        } else if (c == '<' && (end = autolink(t, i + 1))) {
            i = end;
        } else if (c == '&' && (end = entity(t, i))) {
            fwrite(t.at + i, 1, end, stdout);
            i += end;
        } else if (c == ' ' && (end = run_of(t, i, ' ')) >= 2 && i + end < t.len && t.at[i + end] == '\n') {
            put("<br>");
            i += end;
        } else {
            put_escaped(slice(t, i, i + 1));
            i++;
        }
    }
}

// ---- what a line starts --------------------------------------------------------------------------------

static size_t heading_level(Text t) {
    size_t indent = indent_of(t), n = run_of(t, indent, '#');
    return indent < INDENTED_CODE && n >= 1 && n <= 6 && is_space(t, indent + n) ? n : 0;
}

static bool is_rule(Text t) {
    size_t marks = 0;
    char mark = 0;
    if (indent_of(t) >= INDENTED_CODE) return false;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i];
        if (c == ' ') continue;
        if ((c != '-' && c != '*' && c != '_') || (mark && c != mark)) return false;
        mark = c, marks++;
    }
    return marks >= 3;
}

// The length of a fence of backticks or tildes, or 0.
static size_t fence_of(Text t) {
    size_t indent = indent_of(t);
    if (indent >= INDENTED_CODE || indent >= t.len) return 0;
    char c = t.at[indent];
    size_t n = c == '`' || c == '~' ? run_of(t, indent, c) : 0;
    bool info_has_ticks = c == '`' && memchr(t.at + indent + n, '`', t.len - indent - n);
    return n >= 3 && !info_has_ticks ? n : 0;
}

static bool is_quote(Text t) {
    size_t indent = indent_of(t);
    return indent < INDENTED_CODE && indent < t.len && t.at[indent] == '>';
}

typedef struct {
    size_t content; // where the item's text starts, 0 if there is no item
    char mark;      // one of - + * . )
    long start;
} Item;

static Item item_of(Text t) {
    size_t indent = indent_of(t), i = indent;
    Item none = {0};
    if (indent >= INDENTED_CODE || is_rule(t)) return none;
    Item item = {0};
    if (i < t.len && strchr("-+*", t.at[i])) {
        item.mark = t.at[i];
    } else {
        while (i < t.len && i - indent < 9 && isdigit((unsigned char)t.at[i])) item.start = item.start * 10 + (t.at[i++] - '0');
        if (i == indent || i >= t.len || (t.at[i] != '.' && t.at[i] != ')')) return none;
        item.mark = t.at[i];
    }
    if (!is_space(t, ++i)) return none;
    size_t gap = run_of(t, i, ' ');
    // Text that starts far to the right is code inside the item.
    item.content = i + (gap == 0 || gap > INDENTED_CODE || i + gap >= t.len ? 1 : gap);
    return item;
}

static bool is_ordered(Item item) { return item.mark == '.' || item.mark == ')'; }

// Whether a line ends the paragraph before it.
static bool interrupts(Text t) {
    Item item = item_of(t);
    bool starts_list = item.content && item.content < t.len && (!is_ordered(item) || item.start == 1);
    return is_blank(t) || heading_level(t) || is_rule(t) || fence_of(t) || is_quote(t) || starts_list;
}

// ---- tables --------------------------------------------------------------------------------------------

enum { MAX_COLUMNS = 64 };

// The cells of a row. Returns how many.
static size_t cells_of(Text row, Text *cell) {
    row = trim(row);
    if (row.len && row.at[0] == '|') row = slice(row, 1, row.len);
    size_t count = 0, start = 0;
    for (size_t i = 0; i <= row.len; i++) {
        if (i < row.len && row.at[i] == '\\') {
            i++;
        } else if (i < row.len && row.at[i] == '`') {
            size_t ticks = run_of(row, i, '`'), end = code_end(row, i, ticks);
            i = end ? end + ticks - 1 : i + ticks - 1;
        } else if (i == row.len || row.at[i] == '|') {
            bool after_last_bar = i == row.len && is_blank(slice(row, start, i)) && count;
            if (!after_last_bar && count < MAX_COLUMNS) cell[count++] = trim(slice(row, start, i));
            start = i + 1;
        }
    }
    return count;
}

// Whether a line divides a table's head from its rows; if so, the columns' alignments.
static size_t divider(Text t, const char **align) {
    Text cell[MAX_COLUMNS];
    if (!t.len || !memchr(t.at, '-', t.len) || !memchr(t.at, '|', t.len)) return 0;
    size_t count = cells_of(t, cell);
    for (size_t i = 0; i < count; i++) {
        Text c = cell[i];
        if (!c.len) return 0;
        bool left = c.at[0] == ':', right = c.at[c.len - 1] == ':';
        Text dashes = slice(c, left, c.len - right);
        if (!dashes.len || run_of(dashes, 0, '-') != dashes.len) return 0;
        align[i] = left && right ? " style=\"text-align: center\"" : right ? " style=\"text-align: right\"" : "";
    }
    return count;
}

static void row(Text t, const char *tag, size_t columns, const char **align, int depth) {
    Text cell[MAX_COLUMNS];
    size_t count = cells_of(t, cell);
    put("<tr>");
    for (size_t i = 0; i < columns; i++) {
        printf("<%s%s>", tag, align[i]);
        if (i < count) inlines(cell[i], depth);
        printf("</%s>", tag);
    }
    put("</tr>\n");
}

static size_t table(const Lines *lines, size_t i, int depth) {
    const char *align[MAX_COLUMNS];
    Text head[MAX_COLUMNS];
    if (i + 1 >= lines->count || !memchr(lines->line[i].at, '|', lines->line[i].len)) return i;
    size_t columns = divider(lines->line[i + 1], align);
    if (!columns || cells_of(lines->line[i], head) != columns) return i;
    put("<table>\n<thead>\n");
    row(lines->line[i], "th", columns, align, depth);
    put("</thead>\n<tbody>\n");
    for (i += 2; i < lines->count && !interrupts(lines->line[i]); i++) row(lines->line[i], "td", columns, align, depth);
    put("</tbody>\n</table>\n");
    return i;
}

// ---- blocks --------------------------------------------------------------------------------------------

// Each of these gets the block's first line and returns the line after it.

static size_t heading(const Lines *lines, size_t i, int depth) {
    size_t level = heading_level(lines->line[i]);
    Text t = trim(lines->line[i]);
    t = trim(slice(t, level, t.len));
    size_t end = t.len;
    while (end && t.at[end - 1] == '#') end--;
    if (end < t.len && (end == 0 || t.at[end - 1] == ' ')) t = trim(slice(t, 0, end));
    printf("<h%zu id=\"", level);
    put_slug(t);
    put("\">");
    inlines(t, depth);
    printf("</h%zu>\n", level);
    return i + 1;
}

static size_t fenced_code(const Lines *lines, size_t i) {
    Text first = lines->line[i];
    size_t indent = indent_of(first), length = fence_of(first);
    char mark = first.at[indent];
    Text info = trim(slice(first, indent + length, first.len));
    size_t word = 0;
    while (word < info.len && !isspace((unsigned char)info.at[word])) word++;
    put("<pre><code");
    if (word) put(" class=\"language-"), put_escaped(slice(info, 0, word)), put("\"");
    put(">");
    for (i++; i < lines->count; i++) {
        Text t = lines->line[i];
        size_t n = fence_of(t);
        bool closes = n >= length && t.at[indent_of(t)] == mark && is_blank(slice(t, indent_of(t) + n, t.len));
        if (closes) {
            i++;
            break;
        }
        size_t cut = indent_of(t) < indent ? indent_of(t) : indent;
        put_escaped(slice(t, cut, t.len));
        put("\n");
    }
    put("</code></pre>\n");
    return i;
}

static size_t indented_code(const Lines *lines, size_t i) {
    size_t end = i;
    for (size_t j = i; j < lines->count && (is_blank(lines->line[j]) || indent_of(lines->line[j]) >= INDENTED_CODE); j++)
        if (!is_blank(lines->line[j])) end = j + 1;
    put("<pre><code>");
    for (; i < end; i++) put_escaped(slice(lines->line[i], INDENTED_CODE, lines->line[i].len)), put("\n");
    put("</code></pre>\n");
    return i;
}

static size_t quote(const Lines *lines, size_t i, int depth) {
    Lines inner = {0};
    for (; i < lines->count; i++) {
        Text t = lines->line[i];
        if (is_quote(t)) {
            size_t cut = indent_of(t) + 1;
            if (cut < t.len && t.at[cut] == ' ') cut++;
            push(&inner, slice(t, cut, t.len));
        } else if (!interrupts(t) && inner.count && !is_blank(inner.line[inner.count - 1])) {
            push(&inner, t); // A paragraph may go on without the mark.
        } else {
            break;
        }
    }
    put("<blockquote>\n");
    blocks(&inner, false, depth + 1);
    put("</blockquote>\n");
    free(inner.line);
    return i;
}

// The lines of one item, without their indentation; `loose` if a blank line divides its blocks. Returns the
// line after it, blank lines at its end not counted.
static size_t item_lines(const Lines *lines, size_t i, Item item, Lines *inner, bool *loose) {
    push(inner, slice(lines->line[i], item.content, lines->line[i].len));
    size_t end = ++i;
    for (bool blank = false; i < lines->count; i++) {
        Text t = lines->line[i];
        if (is_blank(t)) {
            blank = true;
            push(inner, slice(t, t.len, t.len));
        } else if (indent_of(t) >= item.content) {
            if (blank) *loose = true;
            blank = false;
            push(inner, slice(t, item.content, t.len));
            end = i + 1;
        } else if (!blank && !interrupts(t) && !item_of(t).content) {
            push(inner, t);
            end = i + 1;
        } else {
            break;
        }
    }
    return end;
}

static size_t list(const Lines *lines, size_t first, int depth) {
    Item kind = item_of(lines->line[first]);
    bool loose = false;
    size_t i = first;
    // The first time to learn whether the list is loose, the second time to write it.
    for (int pass = 0; pass < 2; pass++) {
        if (pass && !is_ordered(kind)) put("<ul>\n");
        if (pass && is_ordered(kind)) {
            if (kind.start == 1) put("<ol>\n");
            else printf("<ol start=\"%ld\">\n", kind.start);
        }
        for (i = first; i < lines->count;) {
            Item item = item_of(lines->line[i]);
            if (!item.content || item.mark != kind.mark) break;
            Lines inner = {0};
            size_t end = item_lines(lines, i, item, &inner, &loose);
            if (pass) put("<li>"), blocks(&inner, !loose, depth + 1), put("</li>\n");
            free(inner.line);
            i = end;
            while (i < lines->count && is_blank(lines->line[i])) i++;
            bool goes_on = i < lines->count && item_of(lines->line[i]).mark == kind.mark && item_of(lines->line[i]).content;
            if (i > end && goes_on) loose = true;
            if (!goes_on) {
                i = end;
                break;
            }
        }
        if (pass) put(is_ordered(kind) ? "</ol>\n" : "</ul>\n");
    }
    return i;
}

// 1 or 2 for a line of = or - that makes a heading of the paragraph above it, else 0.
static size_t underline(Text t) {
    Text mark = trim(t);
    if (!mark.len || indent_of(t) >= INDENTED_CODE) return 0;
    if (run_of(mark, 0, '=') == mark.len) return 1;
    return run_of(mark, 0, '-') == mark.len ? 2 : 0;
}

static size_t paragraph(const Lines *lines, size_t i, bool tight, int depth) {
    size_t first = i, level = 0;
    for (i++; i < lines->count && !level; i++) {
        level = underline(lines->line[i]);
        if (!level && interrupts(lines->line[i])) break;
    }
    size_t end = level ? i - 1 : i, size = 0;
    for (size_t j = first; j < end; j++) size += lines->line[j].len + 1;
    // One piece, so that emphasis and links may go over line ends.
    char *joined = malloc(size + 1);
    if (!joined) fail("input", "out of memory");
    size_t length = 0;
    for (size_t j = first; j < end; j++) {
        Text t = lines->line[j];
        size_t indent = indent_of(t);
        memcpy(joined + length, t.at + indent, t.len - indent);
        length += t.len - indent;
        joined[length++] = '\n';
    }
    Text text = trim_end((Text){joined, length});
    if (level) printf("<h%zu id=\"", level), put_slug(text), put("\">");
    else if (!tight) put("<p>");
    inlines(text, depth);
    if (level) printf("</h%zu>\n", level);
    else if (!tight) put("</p>\n");
    free(joined);
    return i;
}

static void blocks(const Lines *lines, bool tight, int depth) {
    if (depth > MAX_DEPTH) fail("input", "quotes and lists are nested too deeply");
    for (size_t i = 0, next; i < lines->count;) {
        Text t = lines->line[i];
        if (is_blank(t)) i++;
        else if (indent_of(t) >= INDENTED_CODE) i = indented_code(lines, i);
        else if (heading_level(t)) i = heading(lines, i, depth);
        else if (fence_of(t)) i = fenced_code(lines, i);
        else if (is_rule(t)) put("<hr>\n"), i++;
        else if (is_quote(t)) i = quote(lines, i, depth);
        else if (item_of(t).content) {
            if (tight && i) put("\n");
            i = list(lines, i, depth);
        } else if ((next = table(lines, i, depth)) > i) i = next;
        else i = paragraph(lines, i, tight, depth);
    }
}

// ---- files ---------------------------------------------------------------------------------------------

static Text read_all(FILE *file, const char *name) {
    size_t room = 1 << 16, len = 0;
    char *at = malloc(room);
    for (size_t n = 1; at && n;) {
        if (len == room) at = realloc(at, room *= 2);
        if (at) len += n = fread(at + len, 1, room - len, file);
    }
    if (!at) fail(name, "out of memory");
    if (ferror(file)) fail(name, strerror(errno));
    return (Text){at, len};
}

// A line without its end, tabs replaced by spaces. What has no tab is not copied.
static Text expand_tabs(Text t) {
    if (!memchr(t.at, '\t', t.len)) return t;
    char *at = malloc(t.len * TAB);
    size_t len = 0;
    if (!at) fail("input", "out of memory");
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] != '\t') at[len++] = t.at[i];
        else do at[len++] = ' '; while (len % TAB);
    }
    return (Text){at, len};
}

static void convert(Text input) {
    Lines lines = {0};
    for (size_t i = 0; i < input.len;) {
        const char *end = memchr(input.at + i, '\n', input.len - i);
        size_t next = end ? (size_t)(end - input.at) + 1 : input.len;
        Text t = slice(input, i, end ? next - 1 : next);
        if (t.len && t.at[t.len - 1] == '\r') t.len--;
        push(&lines, expand_tabs(t));
        i = next;
    }
    blocks(&lines, false, 0);
    free(lines.line);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--help")) {
        puts("usage: markdown [FILE]...\n\nWrites the files, or standard input, as HTML to standard output.");
        return 0;
    }
    if (argc < 2) convert(read_all(stdin, "standard input"));
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) fail(argv[i], strerror(errno));
        convert(read_all(file, argv[i]));
        fclose(file);
    }
    return fflush(stdout) ? 1 : 0;
}
