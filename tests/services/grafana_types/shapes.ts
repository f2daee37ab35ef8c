// The panels, variables and annotations that the dashboards use, in the types that Grafana publishes.
import type {
  AnnotationQuery, Dashboard, DataQuery, FieldConfig, FieldConfigSource, Panel, RowPanel, VariableModel,
} from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has no enums: a member of an enum of texts is its text.
export type Plain<T> = 0 extends 1 & T ? T
  : unknown extends T ? T
  : T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends Array<infer Item> ? Array<Plain<Item>>
  : { [Key in keyof T]: Plain<T[Key]> };

// InfluxQL as text; this data source publishes no types.
interface InfluxQuery extends DataQuery {
  alias?: string;
  query: string;
  rawQuery: true;
  resultFormat: 'table' | 'time_series';
}

interface InfluxAnnotation extends InfluxQuery {
  fromAnnotations: true;
  name: string;
  tagsColumn: string;
  textColumn: string;
  textEditor: true;
}

type Shown<Kind extends string, Options, Custom> = Omit<Panel, 'fieldConfig' | 'options' | 'targets' | 'type'> & {
  fieldConfig: {
    defaults: Omit<FieldConfig, 'custom'> & { custom?: Custom };
    overrides: FieldConfigSource['overrides'];
  };
  options: Options;
  targets: InfluxQuery[];
  type: Kind;
};

type Nothing = Record<string, never>;

export interface Panels {
  'bargauge': Plain<Shown<'bargauge', bargauge.Options, Nothing>>;
  'row': Plain<RowPanel>;
  'stat': Plain<Shown<'stat', stat.Options, Nothing>>;
  'state-timeline': Plain<Shown<'state-timeline', timeline.Options, timeline.FieldConfig>>;
  'table': Plain<Shown<'table', table.Options, Partial<table.FieldConfig>>>;
  'timeseries': Plain<Shown<'timeseries', timeseries.Options, timeseries.FieldConfig>>;
  'traces': Plain<Shown<'traces', Nothing, Nothing>>;
}

export type Variable = Plain<VariableModel>;
export type Annotation = Plain<AnnotationQuery<InfluxAnnotation>>;
export type Frame = Plain<Omit<Dashboard, 'annotations' | 'panels' | 'templating'>>;
