# --- where, and under which names --------------------------------------------------------------------

variable "bucket_name" {
  description = "Name of the lake's bucket; no other bucket in the world may have it."
  type        = string
  nullable    = false

  validation {
    condition = (
      can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
      && !can(regex("^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|--x-s3|--table-s3)$", var.bucket_name))
    )
    error_message = "bucket_name must have 3 to 63 small letters, digits and hyphens, begin and end with a letter or digit, and no prefix or suffix that S3 keeps for itself."
  }
}

variable "region" {
  description = "AWS region of everything."
  type        = string
  nullable    = false
  default     = "us-east-1"

  validation {
    condition     = can(regex("^(af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov)-(central|north|south|east|west|northeast|northwest|southeast|southwest)-[1-9]$", var.region))
    error_message = "region must be the code of an AWS region, such as eu-central-1."
  }

  # Their buckets are s3china:// and s3gov:// to Snowflake, for accounts of the same region alone
  # (docs.snowflake.com/en/sql-reference/sql/create-storage-integration).
  validation {
    condition     = !can(regex("^(cn|us-gov)-", var.region))
    error_message = "region must not be in China or GovCloud: infra/snowflake.sql names the bucket as s3://, which Snowflake does not take there."
  }
}

variable "name" {
  description = "What every name begins with; the job of `retail` is retail_glue_cleaner."
  type        = string
  nullable    = false
  default     = "retail"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.name))
    error_message = "name must have 2 to 30 small letters, digits and hyphens, and begin with a letter."
  }
}

variable "tags" {
  description = "More tags for everything."
  type        = map(string)
  nullable    = false
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:") && length(key) <= 128])
    error_message = "tags must have names of at most 128 characters that do not begin with aws:."
  }
}

variable "allowed_account_ids" {
  description = "Accounts that this may be applied to; null: whichever the credentials belong to."
  type        = list(string)
  default     = null

  validation {
    condition     = alltrue([for id in coalesce(var.allowed_account_ids, []) : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids must be account numbers of 12 digits."
  }
}

# --- Snowflake: empty for the first apply, what DESC INTEGRATION tells for the second -----------------

variable "snowflake_principal_arn" {
  description = "The AWS user of your Snowflake account: STORAGE_AWS_IAM_USER_ARN of DESC INTEGRATION RETAIL_S3."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = var.snowflake_principal_arn == "" || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/[A-Za-z0-9+=,.@_/-]+$", var.snowflake_principal_arn))
    error_message = "snowflake_principal_arn must be the ARN of one user or role, such as arn:aws:iam::123456789012:user/abc1-b-self1234."
  }

  validation {
    condition     = (var.snowflake_principal_arn == "") == (var.snowflake_external_id == "" && var.snowflake_error_external_id == "")
    error_message = "snowflake_principal_arn and an external id belong together: give both, or neither for the first apply."
  }
}

variable "snowflake_external_id" {
  description = "STORAGE_AWS_EXTERNAL_ID of DESC INTEGRATION RETAIL_S3."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = var.snowflake_external_id == "" || (can(regex("^[A-Za-z0-9+=,.@:/_-]{2,}$", var.snowflake_external_id)) && length(var.snowflake_external_id) <= 1224)
    error_message = "snowflake_external_id must be copied from DESC INTEGRATION: 2 to 1224 letters, digits and +=,.@:/_-."
  }
}

variable "snowflake_error_external_id" {
  description = "SF_AWS_EXTERNAL_ID of DESC INTEGRATION RETAIL_PIPE_ERRORS; empty: Snowpipe reports no errors."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = var.snowflake_error_external_id == "" || (can(regex("^[A-Za-z0-9+=,.@:/_-]{2,}$", var.snowflake_error_external_id)) && length(var.snowflake_error_external_id) <= 1224)
    error_message = "snowflake_error_external_id must be copied from DESC INTEGRATION: 2 to 1224 letters, digits and +=,.@:/_-."
  }
}

variable "snowflake_subscriber_arn" {
  description = "Who may subscribe Snowpipe's queue to the topic: Principal.AWS of SELECT SYSTEM$GET_AWS_SNS_IAM_POLICY('<topic>')."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = var.snowflake_subscriber_arn == "" || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/[A-Za-z0-9+=,.@_/-]+$", var.snowflake_subscriber_arn))
    error_message = "snowflake_subscriber_arn must be the ARN of one user or role, such as arn:aws:iam::123456789012:user/abc1-b-self1234."
  }
}

# --- bucket ------------------------------------------------------------------------------------------

variable "bucket_encryption" {
  description = "AES256, or aws:kms for the key that the topics have."
  type        = string
  nullable    = false
  default     = "AES256"

  validation {
    condition     = contains(["AES256", "aws:kms"], var.bucket_encryption)
    error_message = "bucket_encryption must be AES256 or aws:kms."
  }
}

variable "access_log_bucket" {
  description = "An existing bucket for access logs, which S3 may write to; empty: none are kept."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = var.access_log_bucket == "" || (can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket)) && var.access_log_bucket != var.bucket_name)
    error_message = "access_log_bucket must be the name of another bucket than bucket_name, which would log its own logs."
  }
}

variable "raw_days" {
  description = "After how many days raw objects become infrequent access, and are deleted (0: never; everything can be rebuilt from raw)."
  type        = object({ infrequent = optional(number, 30), delete = optional(number, 0) })
  nullable    = false
  default     = {}

  validation {
    condition     = var.raw_days.infrequent >= 30 && (var.raw_days.delete == 0 || var.raw_days.delete > var.raw_days.infrequent)
    error_message = "raw_days.infrequent must be 30 at least, and raw_days.delete 0 or more than that."
  }
}

variable "bronze_days" {
  description = "The same for bronze objects. Snowpipe loads one within minutes; a rebuild of the warehouse reads them all."
  type        = object({ infrequent = optional(number, 90), delete = optional(number, 0) })
  nullable    = false
  default     = {}

  validation {
    condition     = var.bronze_days.infrequent >= 30 && (var.bronze_days.delete == 0 || var.bronze_days.delete > var.bronze_days.infrequent)
    error_message = "bronze_days.infrequent must be 30 at least, and bronze_days.delete 0 or more than that."
  }
}

variable "old_version_days" {
  description = "How many days a replaced or deleted object can be brought back."
  type        = number
  nullable    = false
  default     = 30

  validation {
    condition     = var.old_version_days >= 1 && floor(var.old_version_days) == var.old_version_days
    error_message = "old_version_days must be a whole number of days, 1 at least."
  }
}

variable "force_destroy" {
  description = "Whether terraform destroy may delete a bucket that still holds data."
  type        = bool
  nullable    = false
  default     = false
}

# --- Glue --------------------------------------------------------------------------------------------

variable "package_path" {
  description = "The zip that `python src/glue/package.py OUT.zip` made; null: build/medallion.zip in the project's root."
  type        = string
  default     = null

  validation {
    condition     = var.package_path == null || can(regex("[.]zip$", var.package_path))
    error_message = "package_path must be a .zip file."
  }
}

variable "glue_worker_type" {
  description = "Size of a worker: G.1X has 4 cores and 16 GB, each next one twice that."
  type        = string
  nullable    = false
  default     = "G.1X"

  validation {
    condition     = contains(["G.1X", "G.2X", "G.4X", "G.8X"], var.glue_worker_type)
    error_message = "glue_worker_type must be G.1X, G.2X, G.4X or G.8X."
  }
}

variable "glue_workers" {
  description = "Workers of a run, the driver among them."
  type        = number
  nullable    = false
  default     = 2

  validation {
    condition     = var.glue_workers >= 2 && var.glue_workers <= 299 && floor(var.glue_workers) == var.glue_workers
    error_message = "glue_workers must be a whole number from 2 to 299."
  }
}

variable "glue_python_modules" {
  description = "The compiler of the cleaner, beside what Glue 5.1 brings: modules with their versions, or s3:// URLs of wheels (.whl, .gluewheels.zip) for a job without a way to the package index."
  type        = string
  nullable    = false
  # These fit the numpy 2.3.4 and pyarrow 22.0.0 of Glue 5.1.
  default = "numba==0.68.1,llvmlite==0.50.0"

  validation {
    condition = alltrue([
      for module in split(",", var.glue_python_modules) :
      can(regex("^([A-Za-z0-9_.-]+==[A-Za-z0-9_.+-]+|s3://[^, ]+[.](whl|gluewheels[.]zip))$", module))
    ])
    error_message = "glue_python_modules must be a list like numba==0.68.1,llvmlite==0.50.0, or s3:// URLs that end in .whl or .gluewheels.zip; commas, no spaces."
  }
}

variable "glue_flex" {
  description = "Flex: a third cheaper, but a run may wait for spare capacity and be interrupted."
  type        = bool
  nullable    = false
  default     = false

  validation {
    condition     = !var.glue_flex || contains(["G.1X", "G.2X"], var.glue_worker_type)
    error_message = "glue_flex works with the worker types G.1X and G.2X only."
  }
}

variable "glue_timeout_minutes" {
  description = "After how long a run is stopped; the next one finishes its work."
  type        = number
  nullable    = false
  default     = 60

  validation {
    condition     = var.glue_timeout_minutes >= 5 && var.glue_timeout_minutes <= 2880 && floor(var.glue_timeout_minutes) == var.glue_timeout_minutes
    error_message = "glue_timeout_minutes must be a whole number from 5 to 2880 (two days)."
  }
}

variable "glue_retries" {
  description = "How often a failed run is repeated at once."
  type        = number
  nullable    = false
  default     = 1

  validation {
    condition     = contains([0, 1, 2, 3], var.glue_retries)
    error_message = "glue_retries must be 0, 1, 2 or 3."
  }
}

variable "start_on_arrival" {
  description = "Whether new raw objects start the job."
  type        = bool
  nullable    = false
  default     = true
}

variable "arrivals_per_run" {
  description = "How many new raw objects start a run at once."
  type        = number
  nullable    = false
  default     = 100

  validation {
    condition     = var.arrivals_per_run >= 1 && var.arrivals_per_run <= 100 && floor(var.arrivals_per_run) == var.arrivals_per_run
    error_message = "arrivals_per_run must be a whole number from 1 to 100."
  }
}

variable "arrival_window_seconds" {
  description = "How long the first new raw object waits for others."
  type        = number
  nullable    = false
  default     = 900

  validation {
    condition     = var.arrival_window_seconds >= 1 && var.arrival_window_seconds <= 900 && floor(var.arrival_window_seconds) == var.arrival_window_seconds
    error_message = "arrival_window_seconds must be a whole number from 1 to 900."
  }
}

variable "sweep" {
  description = "Whether the job is started by the clock too."
  type        = bool
  nullable    = false
  default     = true
}

variable "sweep_cron" {
  description = "When, in UTC: minutes, hours, day of month, month, day of week, year. One of the two days must be ?."
  type        = string
  nullable    = false
  default     = "40 * * * ? *"

  validation {
    condition = (
      can(regex("^([*]|[0-5]?[0-9])([,/-][0-5]?[0-9])* ([*]|1?[0-9]|2[0-3])([,/-](1?[0-9]|2[0-3]))* [0-9*/,?LW-]+ [0-9A-Z*/,-]+ [0-9A-Z*/,?L#-]+ [0-9*/,-]+$", var.sweep_cron))
      && length(regexall("(^| )[?]( |$)", var.sweep_cron)) == 1
    )
    error_message = "sweep_cron must have the six fields of an AWS cron expression with ? for one of the two days, such as 40 * * * ? * for every hour."
  }
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
  nullable    = false
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "log_days must be a time that CloudWatch knows, such as 30, 90 or 365."
  }
}

# --- queries of bronze -------------------------------------------------------------------------------

variable "first_day" {
  description = "First day that Athena looks for in bronze/; earlier ones are invisible to it."
  type        = string
  nullable    = false
  default     = "2020-01-01"

  validation {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", var.first_day)) && can(timeadd("${var.first_day}T00:00:00Z", "0s"))
    error_message = "first_day must be a day such as 2020-01-01."
  }
}

variable "athena_scan_limit_gb" {
  description = "What one query may read before it is cancelled."
  type        = number
  nullable    = false
  default     = 10

  validation {
    condition     = var.athena_scan_limit_gb >= 1 && var.athena_scan_limit_gb <= 10000 && floor(var.athena_scan_limit_gb) == var.athena_scan_limit_gb
    error_message = "athena_scan_limit_gb must be a whole number from 1 to 10000."
  }
}

# --- alarms and money --------------------------------------------------------------------------------

variable "alert_email" {
  description = "Who is told of alarms and of the budget; empty: nobody. AWS asks the address to confirm."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = var.alert_email == "" || can(regex("^[^@\\s]+@[^@\\s]+[.][^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an address such as data@example.com."
  }
}

variable "no_data_hours" {
  description = "After how many hours without a new bronze object an alarm says so."
  type        = number
  nullable    = false
  default     = 6

  validation {
    condition     = var.no_data_hours >= 1 && var.no_data_hours <= 24 && floor(var.no_data_hours) == var.no_data_hours
    error_message = "no_data_hours must be a whole number from 1 to 24."
  }
}

variable "queue_age_minutes" {
  description = "How long a notice may wait in snowpipe_queue; 0 as long as nobody reads it: Snowpipe has a queue of its own."
  type        = number
  nullable    = false
  default     = 0

  validation {
    condition     = var.queue_age_minutes >= 0 && floor(var.queue_age_minutes) == var.queue_age_minutes
    error_message = "queue_age_minutes must be a whole number of minutes, or 0 for no alarm."
  }
}

variable "monthly_budget_usd" {
  description = "What the account may cost in a month; alert_email is told at 80 %, and when the forecast is beyond."
  type        = number
  nullable    = false
  default     = 200

  validation {
    condition     = var.monthly_budget_usd >= 1
    error_message = "monthly_budget_usd must be 1 at least."
  }
}

# --- Firehose ----------------------------------------------------------------------------------------

variable "firehose" {
  description = "Whether there is a Kinesis Firehose stream into raw/purchases/."
  type        = bool
  nullable    = false
  default     = false
}
