"""Words: names of fields, values that fields allow, and unknown names, in one hash table."""

from __future__ import annotations

import numpy as np

from medallion.cleaning.compiled.base import HEADS, REFUSED, compiled, eight_bytes, inlined
from medallion.cleaning.compiled.tables import EMPTY, MAX_NAME, NONE


@inlined
def is_word(w, a, b, words, word):
    """Return whether w[a:b] is a word."""
    first, size = words.words[word].start, words.words[word].size
    if size != b - a:
        return False
    while size > 8:
        if eight_bytes(w, a) != eight_bytes(words.text, first):
            return False
        a, first, size = a + 8, first + 8, size - 8
    return (eight_bytes(w, a) ^ eight_bytes(words.text, first)) & HEADS[size] == 0


@compiled
def _slot(w, a, b, words):
    """Return the slot that holds the word w[a:b], or the empty one where it belongs."""
    mask = len(words.slots) - 1
    code = np.uint32(2166136261)
    for k in range(a, b):
        code = np.uint32((code ^ np.uint32(w[k])) * np.uint32(16777619))
    slot = np.int64(code & np.uint32(mask))
    while words.slots[slot] != EMPTY and not is_word(w, a, b, words, words.slots[slot]):
        slot = (slot + 1) & mask
    return slot


@compiled
def find_word(w, a, b, words):
    """Return the number of the word w[a:b], or NONE."""
    word = words.slots[_slot(w, a, b, words)]
    return NONE if word == EMPTY else np.int64(word)


@compiled
def add_word(w, a, b, words):
    """Give the word w[a:b] a number; REFUSED where there is no room for one more."""
    word, first = words.state[0], words.state[1]
    if word == len(words.words) or b - a > MAX_NAME or first + b - a + 8 > len(words.text):
        return np.int64(REFUSED)
    words.slots[_slot(w, a, b, words)] = word
    for k in range(b - a):
        words.text[first + k] = w[a + k]
    words.words[word].start, words.words[word].size = first, b - a
    words.state[0] += 1
    words.state[1] += b - a
    return word


@compiled
def learn(tables, words):
    """Give numbers to the names of the feed and to the values that its fields allow."""
    for k in range(len(tables.vocabulary)):
        a, b, f, end = tables.vocabulary[k]
        word = find_word(tables.letters, a, b, words)
        if word == NONE:
            word = add_word(tables.letters, a, b, words)
        if f != NONE:
            words.words[word].allowed |= np.int64(1) << f
            if tables.rules[f].timed_by != NONE:
                words.words[word].end = end
            words.last[f] = word
