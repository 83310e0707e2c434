/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 24

/* Rows of text, printed in columns as wide as they need to be, three blanks apart. Cells are copied and made
 * safe for a terminal. */
struct table {
        size_t columns;
        size_t rows;
        char **cells; /* rows * columns */
};

void table_init(struct table *table, size_t columns);
void table_done(struct table *table);

/* texts: one for each column. 0 or -ENOMEM. The first row is the heading. */
int table_add(struct table *table, const char *const *texts);
void table_print(const struct table *table, FILE *file);

#define cleanup_table __attribute__((cleanup(table_done)))

#endif
