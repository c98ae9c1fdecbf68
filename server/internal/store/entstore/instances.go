package entstore

import (
	"context"
	"fmt"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/instance"
	entjob "github.com/pointscene/carillon/ent/job"
	"github.com/pointscene/carillon/ent/jobresource"
	"github.com/pointscene/carillon/ent/resource"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// CreateInstance implements store.Instances.
func (s *Store) CreateInstance(ctx context.Context, in job.Instance, linkTo int64, req store.Request) (made job.Instance, err error) {
	err = s.tx(ctx, "create instance", func(ctx context.Context, tx *ent.Tx) error {
		return once(ctx, tx, req, func() (int64, error) {
			row, err := tx.Instance.Create().SetTitle(in.Title).SetDescription(in.Description).SetCreatedAt(micros(orNow(in.CreatedAt))).Save(ctx)
			if err != nil {
				return 0, err
			}
			audit.Made(ctx, job.KindInstance, row.ID, row.ID)
			if linkTo == 0 {
				return row.ID, nil
			}
			err = tx.ClientInstance.Create().SetClientID(linkTo).SetInstanceID(row.ID).Exec(ctx)
			if isReference(err) {
				return 0, fmt.Errorf("client %d: %w", linkTo, store.ErrNotFound)
			}
			return row.ID, err
		}, func(id int64) error {
			row, err := tx.Instance.Get(ctx, id)
			if err != nil {
				return err
			}
			made = instanceOf(row)
			return nil
		})
	})
	return made, err
}

// Instance implements store.Instances.
func (s *Store) Instance(ctx context.Context, id int64) (in job.Instance, err error) {
	err = s.query(ctx, "read instance", func(ctx context.Context, c *ent.Client) error {
		row, err := c.Instance.Get(ctx, id)
		if err != nil {
			return err
		}
		in = instanceOf(row)
		return nil
	})
	return in, err
}

// Instances implements store.Instances.
func (s *Store) Instances(ctx context.Context, only []int64, page store.Page) (list []job.Instance, err error) {
	err = s.query(ctx, "list instances", func(ctx context.Context, c *ent.Client) error {
		q := c.Instance.Query().Where(instance.IDLT(before(page))).Order(ent.Desc(instance.FieldID)).Limit(page.Limit)
		if only != nil {
			q.Where(idsIn(only))
		}
		rows, err := q.All(ctx)
		list = mapAll(rows, instanceOf)
		return err
	})
	return list, err
}

// DeleteInstance implements store.Instances.
func (s *Store) DeleteInstance(ctx context.Context, id int64) error {
	return s.tx(ctx, "delete instance", func(ctx context.Context, tx *ent.Tx) error {
		jobs, err := tx.Job.Query().Where(entjob.InstanceID(id)).Exist(ctx)
		if err != nil {
			return err
		}
		resources, err := tx.Resource.Query().Where(resource.InstanceID(id)).Exist(ctx)
		if err != nil {
			return err
		}
		if jobs || resources {
			return &job.PreconditionError{Reason: "INSTANCE_NOT_EMPTY", Message: "The instance still has jobs or resources; delete them first."}
		}
		if _, err := s.lockInstance(ctx, tx, id); err != nil {
			return err
		}
		if err := deleteWebhooks(ctx, tx, id); err != nil {
			return err
		}
		return lostIfReferenced(tx.Instance.DeleteOneID(id).Exec(ctx))
	})
}

// CreateResource implements store.Instances.
func (s *Store) CreateResource(ctx context.Context, r job.Resource, req store.Request) (made job.Resource, err error) {
	err = s.tx(ctx, "create resource", func(ctx context.Context, tx *ent.Tx) error {
		return once(ctx, tx, req, func() (int64, error) {
			row, err := tx.Resource.Create().SetInstanceID(r.InstanceID).SetTitle(r.Title).SetDescription(r.Description).
				SetCreatedAt(micros(orNow(r.CreatedAt))).Save(ctx)
			if isReference(err) {
				return 0, fmt.Errorf("instance %d: %w", r.InstanceID, store.ErrNotFound)
			}
			if err != nil {
				return 0, err
			}
			audit.Made(ctx, job.KindResource, row.ID, r.InstanceID)
			return row.ID, nil
		}, func(id int64) error {
			row, err := tx.Resource.Get(ctx, id)
			if err != nil {
				return err
			}
			made = resourceOf(row)
			return nil
		})
	})
	return made, err
}

// Resource implements store.Instances.
func (s *Store) Resource(ctx context.Context, id int64) (r job.Resource, err error) {
	err = s.query(ctx, "read resource", func(ctx context.Context, c *ent.Client) error {
		row, err := c.Resource.Get(ctx, id)
		if err != nil {
			return err
		}
		r = resourceOf(row)
		return nil
	})
	return r, err
}

// ResourcesByID implements store.Instances.
func (s *Store) ResourcesByID(ctx context.Context, ids []int64) (list []job.Resource, err error) {
	err = s.query(ctx, "read resources", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Resource.Query().Where(idsIn(ids)).All(ctx)
		list = mapAll(rows, resourceOf)
		return err
	})
	return list, err
}

// Resources implements store.Instances.
func (s *Store) Resources(ctx context.Context, instanceID int64, page store.Page) (list []job.Resource, err error) {
	err = s.query(ctx, "list resources", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Resource.Query().Where(resource.InstanceID(instanceID), resource.IDLT(before(page))).
			Order(ent.Desc(resource.FieldID)).Limit(page.Limit).All(ctx)
		list = mapAll(rows, resourceOf)
		return err
	})
	return list, err
}

// DeleteResource implements store.Instances.
func (s *Store) DeleteResource(ctx context.Context, id int64) error {
	return s.tx(ctx, "delete resource", func(ctx context.Context, tx *ent.Tx) error {
		use, err := tx.JobResource.Query().Where(jobresource.ResourceID(id)).Order(ent.Asc(jobresource.FieldID)).First(ctx)
		switch {
		case err == nil:
			user := job.KindJob.Format(use.JobID)
			return &job.PreconditionError{
				Reason:   "RESOURCE_IN_USE",
				Message:  fmt.Sprintf("The workflow of %s uses the resource; change or delete the job first.", user),
				Metadata: map[string]string{"jobId": user},
			}
		case !ent.IsNotFound(err):
			return err
		}
		return lostIfReferenced(tx.Resource.DeleteOneID(id).Exec(ctx))
	})
}

// InstanceOf implements store.Instances.
func (s *Store) InstanceOf(ctx context.Context, kind job.Kind, id int64) (instanceID int64, err error) {
	var query string
	switch kind {
	case job.KindInstance:
		query = "SELECT id FROM instances WHERE id = $1"
	case job.KindResource:
		query = "SELECT instance_id FROM resources WHERE id = $1"
	case job.KindJob:
		query = "SELECT instance_id FROM jobs WHERE id = $1"
	case job.KindBackfill:
		query = "SELECT instance_id FROM backfills WHERE id = $1"
	case job.KindWebhook:
		query = "SELECT instance_id FROM webhooks WHERE id = $1"
	case job.KindDelivery:
		query = "SELECT instance_id FROM deliveries WHERE id = $1"
	case job.KindExecution:
		query = "SELECT instance_id FROM active_executions WHERE id = $1 UNION ALL SELECT instance_id FROM executions WHERE id = $1"
	default:
		return 0, fmt.Errorf("find instance of %s: %w", kind.Name(), store.ErrNotFound)
	}
	err = s.query(ctx, "find instance of "+kind.Name(), func(ctx context.Context, c *ent.Client) error {
		instanceID, err = single(ctx, c, scanID, query, id)
		return err
	})
	return instanceID, err
}

// lostIfReferenced asks for a second look when a row that refers to the
// deleted one appeared after the first.
func lostIfReferenced(err error) error {
	if isReference(err) {
		return errRaced
	}
	return err
}
