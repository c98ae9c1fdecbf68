package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func configCommand(s *session) *cobra.Command {
	return parent("config", "stored credentials of a resource: they go in and never come out", configTypes(s), configGet(s), configAdd(s), configTest(s), configRemove(s))
}

func configTypes(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "types", Short: "types of remotes and their keys", Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			answer, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.ListRemoteTypes, &carillonv1.ListRemoteTypesRequest{PageSize: 1000})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, func() *table {
				t := &table{head: []string{"TYPE", "NEEDED", "OTHER KEYS"}}
				for _, one := range answer.GetRemoteTypes() {
					needed, others := neededKeys(one)
					t.add(one.GetName(), strings.Join(needed, " "), strings.Join(others, " "))
				}
				return t
			})
		}),
	}
}

// neededKeys are the keys that a remote must have, a|b for one of two, and the
// others.
func neededKeys(of *carillonv1.RemoteType) (needed, others []string) {
	for _, key := range of.GetKeys() {
		either := slices.ContainsFunc(of.GetAlternatives(), func(a *carillonv1.RemoteType_Alternatives) bool { return slices.Contains(a.GetNames(), key.GetName()) })
		switch {
		case key.GetRequired():
			needed = append(needed, key.GetName())
		case !either:
			others = append(others, key.GetName())
		}
	}
	for _, a := range of.GetAlternatives() {
		needed = append(needed, strings.Join(a.GetNames(), "|"))
	}
	return needed, others
}

func configGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get RESOURCE", Short: "names, types and which keys are set", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.GetConfig, &carillonv1.GetConfigRequest{ResourceId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, func() *table {
				t := &table{head: []string{"NAME", "TYPE", "STATE", "EXPIRES", "KEYS", "UPDATED"}}
				for _, r := range answer.GetRemotes() {
					t.add(r.GetName(), r.GetType(), r.GetState().String(), soon(r.GetExpiresAt(), time.Now()), strings.Join(r.GetKeys(), " "), at(r.GetUpdatedAt()))
				}
				return t
			})
		}),
	}
}

func configAdd(s *session) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "add RESOURCE -f FILE", Short: "store remotes, merged by name", Args: cobra.ExactArgs(1),
		Long: `Store remotes of a resource from a YAML or JSON file, or from standard input:

  aws_s3:
    type: s3
    provider: AWS
    region: eu-central-1
    access_key_id: …
    secret_access_key: …

A remote that is there is replaced; the others stay.`,
		Example: `  carillon config add res_7 -f remotes.yaml
  vault read -format=json … | jq … | carillon config add res_7 -f -`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			config, err := readConfig(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			_, err = call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.AddConfig, &carillonv1.AddConfigRequest{ResourceId: args[0], Config: config})
			if err == nil {
				say(cmd, "stored %s of %s", plain(strings.Join(slices.Sorted(maps.Keys(config.GetFields())), ", ")), args[0])
			}
			return err
		}),
	}
	fileFlag(cmd, &file, "`file` with the remotes; - for standard input")
	return cmd
}

// readConfig reads remotes by name.
func readConfig(stdin io.Reader, file string) (*structpb.Struct, error) {
	documents, err := readDocuments(stdin, file)
	if err != nil {
		return nil, err
	}
	if len(documents) != 1 {
		return nil, usage("%s holds %d documents: write one", file, len(documents))
	}
	config := &structpb.Struct{}
	if err := protojson.Unmarshal(documents[0].json, config); err != nil {
		return nil, usage("%s: write remotes by name: {aws_s3: {type: s3, …}}", file)
	}
	return config, nil
}

func configTest(s *session) *cobra.Command {
	var file string
	var write bool
	cmd := &cobra.Command{
		Use: "test RESOURCE [NAME[:/PATH]...]", Short: "try what remotes can do, and store nothing", Args: cobra.MinimumNArgs(1),
		Long: `Try what remotes can do at a folder: those of a file before they are stored, or
those that are stored; all of them, or the named ones. The exit code is 1 when
something fails.`,
		Example: `  carillon config test res_7 -f remotes.yaml
  carillon config test res_7 aws_s3:/bucket/site --write`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			in := &carillonv1.TestConfigRequest{ResourceId: args[0], Remotes: args[1:], Write: write}
			if file != "" {
				var err error
				if in.Config, err = readConfig(cmd.InOrStdin(), file); err != nil {
					return err
				}
			}
			answer, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.TestConfig, in)
			if err != nil {
				return err
			}
			err = s.print(cmd.OutOrStdout(), answer, func() *table { return testTable(answer) })
			if err == nil && !answer.GetSuccess() {
				return negative("not everything works")
			}
			return err
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` with remotes that are not stored; - for standard input")
	cmd.Flags().BoolVar(&write, "write", false, "also write a small file and delete it")
	return cmd
}

func testTable(answer *carillonv1.TestConfigResponse) *table {
	t := &table{head: []string{"REMOTE", "CHECK", "OUTCOME", "TOOK", "WHY"}}
	for _, r := range answer.GetRemotes() {
		for _, one := range r.GetResults() {
			took, why := "", one.GetMessage()
			if one.GetOutcome() != carillonv1.RemoteTest_SKIPPED {
				took = rough(one.GetDuration().AsDuration())
			}
			if q := r.GetQuota(); q != nil && one.GetCheck() == carillonv1.RemoteTest_QUOTA {
				why = quotaText(q)
			}
			t.add(r.GetRemote(), one.GetCheck().String(), one.GetOutcome().String(), took, why)
		}
		for _, warning := range r.GetWarnings() {
			t.add(r.GetRemote(), "", "WARNING", "", warning)
		}
	}
	return t
}

func quotaText(q *carillonv1.RemoteTest_Quota) string {
	var parts []string
	for _, part := range []struct {
		name  string
		bytes *int64
	}{{"used", q.UsedBytes}, {"free", q.FreeBytes}, {"total", q.TotalBytes}} {
		if part.bytes != nil {
			parts = append(parts, part.name+" "+size(*part.bytes))
		}
	}
	return strings.Join(parts, ", ")
}

func fileFlag(cmd *cobra.Command, file *string, help string) {
	cmd.Flags().StringVarP(file, "file", "f", "", help)
	_ = cmd.MarkFlagRequired("file")
}

func configRemove(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "remove RESOURCE [NAME...]", Short: "forget the named remotes, or all", Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				_, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.DeleteConfig, &carillonv1.DeleteConfigRequest{ResourceId: args[0]})
				if err == nil {
					say(cmd, "removed every remote of %s", args[0])
				}
				return err
			}
			config := &structpb.Struct{Fields: map[string]*structpb.Value{}}
			for _, name := range args[1:] {
				config.Fields[name] = structpb.NewNullValue()
			}
			_, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.AddConfig, &carillonv1.AddConfigRequest{ResourceId: args[0], Config: config})
			if err == nil {
				say(cmd, "removed %s of %s", plain(strings.Join(args[1:], ", ")), args[0])
			}
			return err
		}),
	}
}
