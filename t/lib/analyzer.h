/*
 * analyzer.h - t/lint puts it in front of every source, for an analyzer that sees one file.
 *
 * It cannot know that err_set() and its like always return -1, takes `return err_set(e, ...)` for a
 * possible success, and then warns of results that were never filled in.
 */
#ifndef LIB_ANALYZER_H
#define LIB_ANALYZER_H

#include "base/err.h"

#define err_set(...) (err_set(__VA_ARGS__), -1)
#define err_sys(...) (err_sys(__VA_ARGS__), -1)
#define err_add(...) (err_add(__VA_ARGS__), -1)

#endif
