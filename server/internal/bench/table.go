package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// table is one table of the report, in Markdown.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(&b, "%s\n\n", t.note)
	}
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	line(slices.Repeat([]string{"---"}, len(t.head)))
	for _, row := range t.rows {
		line(row)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// quantile is the value below which that part of the values lies. It sorts
// them.
func quantile(values []time.Duration, part float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(part*float64(len(values))), len(values)-1)]
}

// ms is a duration in milliseconds for people.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

// median is the middle of the values, with the lowest and highest; a dash
// where there is nothing to measure, as for the database's part on SQLite.
func median(values []float64, format string) string {
	slices.Sort(values)
	if highest := values[len(values)-1]; highest == 0 || math.IsNaN(highest) {
		return "–"
	}
	middle := fmt.Sprintf(format, values[len(values)/2])
	if len(values) == 1 {
		return middle
	}
	return fmt.Sprintf("%s ["+format+"–"+format+"]", middle, values[0], values[len(values)-1])
}
