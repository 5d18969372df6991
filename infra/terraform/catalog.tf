# Bronze for Athena, without a crawler: the columns are those of the event contract (tables.json), and the
# days are reckoned (partition projection), not registered.

locals {
  tables = jsondecode(file("${path.module}/tables.json"))
}

resource "aws_glue_catalog_database" "bronze" {
  name        = "${replace(var.name, "-", "_")}_bronze"
  description = "The bronze layer of ${var.bucket_name}"
}

resource "aws_glue_catalog_table" "bronze" {
  for_each = local.tables

  name          = each.key
  database_name = aws_glue_catalog_database.bronze.name
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(
    { classification = "parquet", EXTERNAL = "TRUE" },
    each.value.by_day ? {
      "projection.enabled"          = "true"
      "projection.dt.type"          = "date"
      "projection.dt.format"        = "yyyy-MM-dd"
      "projection.dt.range"         = "${var.first_day},NOW+1DAYS"
      "projection.dt.interval"      = "1"
      "projection.dt.interval.unit" = "DAYS"
      "storage.location.template"   = "s3://${var.bucket_name}/bronze/${each.key}/dt=$${dt}/"
    } : {},
  )

  dynamic "partition_keys" {
    for_each = each.value.by_day ? ["dt"] : []

    content {
      name    = partition_keys.value
      type    = "date"
      comment = "UTC date of ts"
    }
  }

  storage_descriptor {
    location      = "s3://${var.bucket_name}/bronze/${each.key}/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

resource "aws_athena_workgroup" "retail" {
  name        = var.name
  description = "Queries of bronze; none may read more than ${var.athena_scan_limit_gb} GB"

  force_destroy = var.force_destroy

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.athena_scan_limit_gb * 1000 * 1000 * 1000

    result_configuration {
      output_location = "s3://${var.bucket_name}/athena/"

      encryption_configuration {
        encryption_option = local.uses_kms ? "SSE_KMS" : "SSE_S3"
        kms_key_arn       = local.uses_kms ? aws_kms_key.retail.arn : null
      }
    }
  }
}
