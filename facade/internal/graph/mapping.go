package graph

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/graph/model"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func optionalText(s *string) *wrapperspb.StringValue {
	if s == nil {
		return nil
	}
	return wrapperspb.String(*s)
}

func optionalInt(n *int32) *wrapperspb.Int32Value {
	if n == nil {
		return nil
	}
	return wrapperspb.Int32(*n)
}

func toRetryPolicy(in *model.RetryPolicyInput) *carillonv1.RetryPolicy {
	if in == nil {
		return nil
	}
	return &carillonv1.RetryPolicy{
		RetryCount:       deref(in.RetryCount),
		MinBackoff:       in.MinBackoff,
		MaxBackoff:       in.MaxBackoff,
		MaxDoublings:     in.MaxDoublings,
		MaxRetryDuration: in.MaxRetryDuration,
	}
}

// maskOf is the mask that names fields of a message, or without names the mask of
// the fields that are given. If it has none, it names one that can't change: an
// empty mask would stand for every field with a value.
func maskOf(message proto.Message, names []string, given map[string]bool) *fieldmaskpb.FieldMask {
	mask := &fieldmaskpb.FieldMask{}
	if names == nil {
		for name, is := range given {
			if is {
				mask.Paths = append(mask.Paths, name)
			}
		}
		slices.Sort(mask.Paths)
	}
	for _, name := range names {
		mask.Paths = append(mask.Paths, protoPath(message, name))
	}
	if len(mask.Paths) == 0 {
		mask.Paths = []string{"id"}
	}
	return mask
}

// protoPath is a path in a message with the names of the proto. What it lacks
// stays as it is: the service refuses it.
func protoPath(message proto.Message, path string) string {
	names := strings.Split(path, ".")
	in := message.ProtoReflect().Descriptor()
	for i := 0; i < len(names) && in != nil; i++ {
		field := in.Fields().ByJSONName(names[i])
		if field == nil {
			break
		}
		names[i], in = string(field.Name()), field.Message()
	}
	return strings.Join(names, ".")
}

func instance(i *carillonv1.Instance, err error) (*model.Instance, error) {
	return answered(&model.Instance{Instance: i}, err)
}

func key(k *carillonv1.Key, err error) (*model.Key, error) {
	return answered(&model.Key{Key: k}, err)
}

func webhook(w *carillonv1.Webhook, err error) (*model.Webhook, error) {
	return answered(&model.Webhook{Webhook: w}, err)
}

func delivery(d *carillonv1.Delivery, err error) (*model.Delivery, error) {
	return answered(&model.Delivery{Delivery: d}, err)
}

func occurrence(o *carillonv1.Occurrence, err error) (*model.Occurrence, error) {
	return answered(&model.Occurrence{Occurrence: o}, err)
}

func execution(e *carillonv1.Execution, err error) (*model.ScheduledJobHistory, error) {
	return answered(&model.ScheduledJobHistory{Execution: e}, err)
}

func history(answer *carillonv1.ListExecutionsResponse, err error) (*model.InstanceJobHistory, error) {
	if err != nil {
		return nil, err
	}
	out := &model.InstanceJobHistory{Items: []*model.ScheduledJobHistory{}}
	for _, e := range answer.GetExecutions() {
		out.Items = append(out.Items, &model.ScheduledJobHistory{Execution: e})
	}
	out.Cursor, out.HasNextPage = next(answer.GetNextPageToken())
	return out, nil
}

// readLog reads a page of a log: a stream that is left as soon as one line more
// than the page was read.
func (r *resolver) readLog(ctx context.Context, request *carillonv1.TailLogRequest, page *model.Page) (*model.LogPage, error) {
	size, cursor := pageOf(page)
	if size < 0 {
		return nil, door.Invalid(door.Violation{Field: "page.first", Reason: "OUT_OF_RANGE", Description: "must not be negative"})
	}
	size = min(cmp.Or(size, request.GetLast(), defaultPage), maxPage)
	request.Cursor = cursor
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.executions.TailLog(ctx, request)
	if err != nil {
		return nil, err
	}
	out := &model.LogPage{Items: []*model.LogLine{}}
	if cursor != "" {
		out.Cursor = &cursor // where to go on when nothing came since
	}
	for {
		line, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case len(out.Items) == int(size):
			out.HasNextPage = true
			return out, nil
		}
		out.Items = append(out.Items, &model.LogLine{TailLogResponse: line})
		out.Cursor = &line.Cursor
	}
}
