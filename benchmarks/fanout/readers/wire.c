#define _GNU_SOURCE
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void tail_keep(struct tail *tail, const char *data, size_t size)
{
    if (tail->size + size > tail->room) {
        tail->room = (tail->size + size) * 2;
        tail->data = realloc(tail->data, tail->room);
        if (!tail->data)
            abort();
    }
    memcpy(tail->data + tail->size, data, size);
    tail->size += size;
}

void wire_free(struct wire *wire)
{
    free(wire->payload.data);
    free(wire->stream.data);
    *wire = (struct wire){0};
}

/* ---------------------------------------------------------------- NATS inside frames */

static size_t number_before(const char **end, const char *start)
{
    size_t value = 0, place = 1;
    while (*end > start && (*end)[-1] >= '0' && (*end)[-1] <= '9') {
        *end -= 1;
        value += place * (size_t)(**end - '0');
        place *= 10;
    }
    return value;
}

/* Reports the first complete operation and returns its size; 0 if it is incomplete. */
static size_t nats_operation(const char *data, size_t size, void *who)
{
    const char *newline = memchr(data, '\n', size);
    if (!newline)
        return 0;
    size_t line = (size_t)(newline - data) + 1;
    if (line < 4 || memcmp(data, "MSG ", 4) != 0) {
        heard_nats(who, data, line);
        return line;
    }
    const char *end = newline - 1; /* before \r */
    size_t payload = number_before(&end, data);
    if (size < line + payload + 2)
        return 0;
    heard_message(who, data + line, payload);
    return line + payload + 2;
}

static void nats_take(struct tail *tail, const char *data, size_t size, void *who)
{
    bool kept = tail->size > 0;
    if (kept) {
        tail_keep(tail, data, size);
        data = tail->data;
        size = tail->size;
    }
    size_t done = 0, step;
    while (done < size && (step = nats_operation(data + done, size - done, who)) > 0)
        done += step;
    if (kept) {
        memmove(tail->data, tail->data + done, size - done);
        tail->size = size - done;
    } else if (done < size) {
        tail_keep(tail, data + done, size - done);
    }
}

/* ---------------------------------------------------------------- frames */

static uint8_t head_needs(const struct wire *wire)
{
    if (wire->head_size < 2)
        return 2;
    uint8_t size = wire->head[1] & 0x7f;
    return size == 127 ? 10 : size == 126 ? 4 : 2;
}

/* Parses a complete frame head; returns false for a frame that a server must not send. */
static bool begin_payload(struct wire *wire, enum protocol protocol)
{
    const uint8_t *head = wire->head;
    wire->opcode = head[0] & 0x0f;
    wire->left = 0;
    if (wire->head_size == 2)
        wire->left = head[1] & 0x7f;
    else
        for (uint8_t n = 2; n < wire->head_size; n++)
            wire->left = wire->left << 8 | head[n];
    wire->head_size = 0;
    wire->in_payload = true;
    bool final = head[0] >> 4 == 0x8, masked = head[1] >> 7;
    bool known = wire->opcode >= CLOSE || wire->opcode == (protocol == NATS ? BINARY : TEXT);
    return final && !masked && known && (protocol == NATS || wire->left <= LARGEST_MESSAGE);
}

static void end_payload(struct wire *wire, const char *payload, size_t size, void *who)
{
    if (wire->opcode == TEXT)
        heard_message(who, payload, size);
    else
        heard_control(who, wire->opcode, payload, size);
}

static void take_payload(struct wire *wire, const char *data, size_t size, void *who)
{
    wire->left -= size;
    wire->in_payload = wire->left > 0;
    if (wire->opcode == BINARY) {
        nats_take(&wire->stream, data, size, who);
    } else if (wire->payload.size == 0 && wire->left == 0) {
        end_payload(wire, data, size, who);
    } else {
        tail_keep(&wire->payload, data, size);
        if (wire->left == 0) {
            end_payload(wire, wire->payload.data, wire->payload.size, who);
            wire->payload.size = 0;
        }
    }
}

bool wire_take(struct wire *wire, enum protocol protocol, const char *data, size_t size, void *who)
{
    const char *end = data + size;
    while (data < end) {
        if (!wire->in_payload) {
            wire->head[wire->head_size++] = (uint8_t)*data++;
            if (wire->head_size < head_needs(wire))
                continue;
            if (!begin_payload(wire, protocol))
                return false;
            if (wire->left > 0)
                continue;
        }
        size_t rest = (size_t)(end - data);
        size_t chunk = rest < wire->left ? rest : wire->left;
        take_payload(wire, data, chunk, who);
        data += chunk;
    }
    return true;
}

/* ---------------------------------------------------------------- quotes */

static bool ends_with(const char **end, const char *start, const char *word, size_t size)
{
    if (*end - start < (ptrdiff_t)size || memcmp(*end - size, word, size) != 0)
        return false;
    *end -= size;
    return true;
}

#define ENDS_WITH(end, start, word) ends_with(end, start, word, sizeof(word) - 1)
#define QUOTE "{\"type\":\"quote\","
#define TS "\"ts\":\""

/* Searches backwards: `seq` is the last field, or the last before `conflated`. */
bool quote_read(const char *text, size_t size, struct quote *quote)
{
    *quote = (struct quote){0};
    if (size < sizeof QUOTE || memcmp(text, QUOTE, sizeof QUOTE - 1) != 0)
        return false;
    const char *end = text + size;
    if (!ENDS_WITH(&end, text, "}"))
        return false;
    uint64_t number = number_before(&end, text);
    if (ENDS_WITH(&end, text, ",\"conflated\":")) {
        quote->conflated = number;
        number = number_before(&end, text);
    }
    quote->seq = number;
    if (!ENDS_WITH(&end, text, ",\"seq\":"))
        return false;
    quote->text = text;
    quote->end = end;
    return number > 0;
}

/* `ts` has no fixed position, so it is searched: once per quote, not per delivery. */
uint64_t quote_due(const struct quote *quote)
{
    const char *found = memmem(quote->text, (size_t)(quote->end - quote->text), TS, sizeof TS - 1);
    struct tm date = {0};
    const char *fraction =
        found ? strptime(found + sizeof TS - 1, "%Y-%m-%dT%H:%M:%S", &date) : NULL;
    if (!fraction || *fraction++ != '.')
        return 0;
    uint64_t nanoseconds = 0, place = 100000000;
    for (; *fraction >= '0' && *fraction <= '9'; fraction++, place /= 10)
        nanoseconds += place * (uint64_t)(*fraction - '0');
    return (uint64_t)timegm(&date) * 1000000000 + nanoseconds;
}
