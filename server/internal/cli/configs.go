package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func configCommand(s *session) *cobra.Command {
	return parent("config", "stored credentials of a resource: they go in and never come out", configGet(s), configAdd(s), configRemove(s))
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
				t := &table{head: []string{"NAME", "TYPE", "KEYS", "UPDATED"}}
				for _, r := range answer.GetRemotes() {
					t.add(r.GetName(), r.GetType(), strings.Join(r.GetKeys(), " "), at(r.GetUpdatedAt()))
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
			documents, err := readDocuments(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			if len(documents) != 1 {
				return usage("%s holds %d documents: write one", file, len(documents))
			}
			config := &structpb.Struct{}
			if err := protojson.Unmarshal(documents[0].json, config); err != nil {
				return usage("%s: write remotes by name: {aws_s3: {type: s3, …}}", file)
			}
			_, err = call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.AddConfig, &carillonv1.AddConfigRequest{ResourceId: args[0], Config: config})
			return err
		}),
	}
	fileFlag(cmd, &file, "`file` with the remotes; - for standard input")
	return cmd
}

func fileFlag(cmd *cobra.Command, file *string, help string) {
	cmd.Flags().StringVarP(file, "file", "f", "", help)
	_ = cmd.MarkFlagRequired("file")
}

func configRemove(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "remove RESOURCE [NAME...]", Short: "forget the named remotes, or all", Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if len(args) == 1 {
				_, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.DeleteConfig, &carillonv1.DeleteConfigRequest{ResourceId: args[0]})
				return err
			}
			config := &structpb.Struct{Fields: map[string]*structpb.Value{}}
			for _, name := range args[1:] {
				config.Fields[name] = structpb.NewNullValue()
			}
			_, err := call(ctx, s, carillonv1.NewConfigServiceClient, carillonv1.ConfigServiceClient.AddConfig, &carillonv1.AddConfigRequest{ResourceId: args[0], Config: config})
			return err
		}),
	}
}
