package entstore

import (
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// appendTasks appends what json.Marshal makes of the records. Every end of an
// execution has them, and by reflection they cost as much as the rest of what
// the store does for it in this process.
func appendTasks(to []byte, tasks []job.TaskRecord) []byte {
	to = append(to, '[')
	for i := range tasks {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendTask(to, &tasks[i])
	}
	return append(to, ']')
}

// tasksColumn makes the texts of many ends: one behind the other, since each in
// memory of its own would be two objects more.
type tasksColumn struct {
	all  strings.Builder
	last []byte
}

// tasksSize is a usual length of the text of one task.
const tasksSize = 192

func newTasksColumn(ends int) *tasksColumn {
	c := new(tasksColumn)
	c.all.Grow(tasksSize * ends)
	return c
}

// text is what tasksText answers.
func (c *tasksColumn) text(tasks []job.TaskRecord) string {
	if len(tasks) == 0 {
		return ""
	}
	c.last = appendTasks(c.last[:0], tasks)
	before := c.all.Len()
	c.all.Write(c.last)
	return c.all.String()[before:]
}

func appendTask(to []byte, t *job.TaskRecord) []byte {
	to = appendText(append(to, `{"name":`...), t.Name)
	to = appendText(append(to, `,"type":`...), t.Type)
	to = appendText(append(to, `,"state":`...), string(t.State))
	if !t.StartedAt.IsZero() {
		to = appendTime(append(to, `,"startedAt":`...), t.StartedAt)
	}
	if !t.FinishedAt.IsZero() {
		to = appendTime(append(to, `,"finishedAt":`...), t.FinishedAt)
	}
	if t.Attempt != 0 {
		to = strconv.AppendInt(append(to, `,"attempt":`...), int64(t.Attempt), 10)
	}
	if !t.NextAttemptAt.IsZero() {
		to = appendTime(append(to, `,"nextAttemptAt":`...), t.NextAttemptAt)
	}
	if t.Error != nil {
		to = append(append(to, `,"error":`...), encode(t.Error)...)
	}
	if t.Report != nil {
		to = append(append(to, `,"report":`...), encode(t.Report)...)
	}
	return append(to, '}')
}

func appendTime(to []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(to, '"'), time.RFC3339Nano), '"')
}

// appendText quotes a text; one that has anything to escape goes the long way.
func appendText(to []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return append(to, encode(text)...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
