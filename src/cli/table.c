/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people. The last column is not padded, so lines have no blanks at their end. */
#include "cli/table.h"

#include "cli/text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void table_init(struct table *table, size_t columns)
{
        assert(columns > 0 && columns <= TABLE_COLUMNS_MAX);
        *table = (struct table){.columns = columns};
}

void table_done(struct table *table)
{
        for (size_t i = 0; i < table->rows * table->columns; i++)
                free(table->cells[i]);
        free(table->cells);
        *table = (struct table){0};
}

int table_add(struct table *table, const char *const *texts)
{
        char *cells[TABLE_COLUMNS_MAX] = {0};
        char **grown = realloc(table->cells, (table->rows + 1) * table->columns * sizeof(*grown));
        if (grown == NULL)
                return -ENOMEM;
        table->cells = grown;
        for (size_t i = 0; i < table->columns; i++) {
                cells[i] = text_safe(texts[i], false);
                if (cells[i] == NULL) {
                        while (i > 0)
                                free(cells[--i]);
                        return -ENOMEM;
                }
        }
        memcpy(grown + table->rows * table->columns, cells, table->columns * sizeof(*cells));
        table->rows++;
        return 0;
}

void table_print(const struct table *table, FILE *file)
{
        size_t widths[TABLE_COLUMNS_MAX] = {0};
        for (size_t i = 0; i < table->rows * table->columns; i++) {
                size_t width = text_width(table->cells[i]);
                if (width > widths[i % table->columns])
                        widths[i % table->columns] = width;
        }
        for (size_t row = 0; row < table->rows; row++) {
                size_t owed = 0; /* blanks before the next text */
                for (size_t column = 0; column < table->columns; column++) {
                        const char *cell = table->cells[row * table->columns + column];
                        if (cell[0] != '\0') {
                                fprintf(file, "%*s%s", (int)owed, "", cell);
                                owed = 0;
                        }
                        owed += widths[column] - text_width(cell) + 3;
                }
                fprintf(file, "\n");
        }
}
